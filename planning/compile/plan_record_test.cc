#include "planning/compile/plan_record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/test_folder.h"
#include "planning/compile/plan_options.h"

namespace ingot {
namespace {

// Of a checkpoint whose manifest has these sections.
RecordedPlan recorded_in(const nlohmann::json& sections) {
  const TestFolder folder;
  CheckpointWriter(folder.path(), 1, {}).commit(sections.dump());
  return load_plan_record(CheckpointReader::open(folder / checkpoint_name(1)));
}

const nlohmann::json kPlan = {{"micro_batch", 2},
                              {"offload", "states"},
                              {"optimizer_state", "bf16"},
                              {"activations", {{"recompute", {"layers.0.mlp.y"}}}}};

TEST(LoadPlanRecord, ReadsWhatWasWritten) {
  const RecordedPlan recorded = recorded_in({{"plan", kPlan}});
  ASSERT_TRUE(recorded.record);
  EXPECT_EQ(*recorded.record, parse_plan_record(kPlan, "here"));
  EXPECT_EQ(recorded.problem, "");
}

TEST(PlanRecord, NamesWhateverAPlanMayChoose) {
  for (const OffloadSet offload : kOffloadSets) {
    for (const OptimizerState state : kOptimizerStates) {
      const PlanRecord record{.micro_batch = 2, .offload = offload, .state = state};
      EXPECT_EQ(parse_plan_record(to_json(record), "here"), record);
    }
  }
}

TEST(LoadPlanRecord, FindsNoneWhereNoneWasRecorded) {
  const RecordedPlan recorded = recorded_in(nlohmann::json::object());
  EXPECT_FALSE(recorded.record);
  EXPECT_EQ(recorded.problem, "");
}

// A manifest is hashed, nobody could mend it by hand: the run must go on without.
TEST(LoadPlanRecord, SaysWhyItCannotReadOneAndRefusesNothing) {
  nlohmann::json later = kPlan;
  later["offload"] = "of a later version";
  for (const nlohmann::json& unreadable : {later, nlohmann::json(7), nlohmann::json::object()}) {
    const RecordedPlan recorded = recorded_in({{"plan", unreadable}});
    EXPECT_FALSE(recorded.record) << unreadable;
    EXPECT_NE(recorded.problem.find("the recorded plan"), std::string::npos) << unreadable;
  }
  EXPECT_NE(recorded_in({{"plan", later}}).problem.find("later version"), std::string::npos);
}

}  // namespace
}  // namespace ingot

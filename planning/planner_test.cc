// What the planner takes, on a machine whose costs are made by hand: no clock decides here.
#include "planning/planner.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <numeric>

#include "backends/cpu/cpu_backend.h"
#include "io/test_folder.h"
#include "ops/cpu_kernels.h"

namespace ingot {
namespace {

using nlohmann::json;

constexpr std::int64_t kMiB = 1 << 20;

class PlannerTest : public testing::Test {
 protected:
  // Measures once, so that there are files to put costs into.
  static void SetUpTestSuite() {
    cache_ = std::make_unique<TestFolder>();
    setenv("XDG_CACHE_HOME", cache_->path().c_str(), 1);
    backend_ = std::make_unique<cpu::CpuBackend>(2, cpu::all_cpu_kernels());
    plan("100GiB");
  }
  static void TearDownTestSuite() {
    backend_.reset();
    cache_.reset();
  }
  void SetUp() override { set_costs(1); }

  // A machine that does 10 GFLOP/s and 10 GB/s, in ops of 500 rows and more so many times as slow.
  static void set_costs(double slower_in_many_rows) {
    for (const auto& entry : std::filesystem::directory_iterator(cache_->path() / "ingot")) {
      json file = json::parse(contents_of(entry.path()));
      if (!file["measured"].is_object()) continue;
      for (json& timings : file["measured"]) {
        for (json& timing : timings) {
          const double rows = timing[0], work = timing[1].get<double>() + timing[2].get<double>();
          timing[3] = work * 1e-10 * (rows < 500 ? 1 : slower_in_many_rows);
        }
      }
      file["measurements"] = 1;
      file["doubtful"] = false;
      put_file(entry.path(), file.dump());
    }
  }

  static RunConfig config(const std::string& budget, std::vector<std::string> overrides = {}) {
    overrides.push_back("memory.budget=" + budget);
    overrides.push_back("memory.offload_directory=" + cache_->path().string());
    return parse_run_config(R"({"model": {"model_type": "llama", "vocab_size": 264,
      "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 4,
      "num_attention_heads": 4, "max_position_embeddings": 512},
      "data": {"sequence_length": 128}, "batch": {"tokens_per_step": 2048}})",
                            "run.json", ".", overrides);
  }
  static PlannedTraining plan(const std::string& budget, std::vector<std::string> overrides = {},
                              PlanStart start = {.predict_time = true}) {
    return plan_training(config(budget, std::move(overrides)), *backend_, start);
  }
  static bool accepts(std::int64_t bytes) {
    try {
      plan(std::to_string(bytes), {}, {});
      return true;
    } catch (const DoesNotFit&) {
      return false;
    }
  }
  // What the refusal of a hopeless budget names.
  static std::int64_t smallest_budget() {
    try {
      plan("1MiB");
    } catch (const DoesNotFit& refusal) {
      return refusal.smallest().predicted_peak_bytes();
    }
    ADD_FAILURE() << "1 MiB was enough";
    return 0;
  }

  static std::unique_ptr<TestFolder> cache_;
  static std::unique_ptr<cpu::CpuBackend> backend_;
};

std::unique_ptr<TestFolder> PlannerTest::cache_;
std::unique_ptr<cpu::CpuBackend> PlannerTest::backend_;

// Micro-batches of two sequences, or of one.
const std::vector<std::string> kTwoSequences = {"batch.tokens_per_step=256"};

TEST_F(PlannerTest, TakesASmallerMicroBatchThatIsFasterThoughTheLargestFits) {
  set_costs(50);
  const PlannedTraining planned = plan("100GiB", kTwoSequences);
  EXPECT_EQ(planned.choices.micro_batch, 1);
  ASSERT_EQ(planned.rejected.size(), 1u);
  EXPECT_EQ(planned.rejected[0].choices.micro_batch, 2);
  EXPECT_EQ(planned.rejected[0].why, "fits, but is slower");
  EXPECT_GT(planned.rejected[0].step_seconds, planned.step_seconds);
  // A run takes the same.
  EXPECT_EQ(plan("100GiB", kTwoSequences, {}).choices, planned.choices);
}

TEST_F(PlannerTest, TakesTheLargestMicroBatchWhereTheDifferenceIsWithinTheModelsError) {
  set_costs(1.1);
  const PlannedTraining planned = plan("100GiB", kTwoSequences);
  EXPECT_EQ(planned.choices.micro_batch, 2);
  ASSERT_EQ(planned.rejected.size(), 1u);
  EXPECT_LT(planned.rejected[0].step_seconds, planned.step_seconds);
  EXPECT_GT(planned.rejected[0].step_seconds, 0.9 * planned.step_seconds);
  EXPECT_EQ(planned.rejected[0].why, "fits, but is faster by less than predictions err");
}

TEST_F(PlannerTest, TakesTheSmallestBudgetThatARefusalNamesAndNoSmallerOne) {
  const std::int64_t smallest = smallest_budget();
  EXPECT_TRUE(accepts(smallest));
  EXPECT_FALSE(accepts(smallest - 1));
  EXPECT_FALSE(accepts(smallest - kMiB));
}

TEST_F(PlannerTest, TakesEveryBudgetAboveOneThatFits) {
  const std::int64_t smallest = smallest_budget();
  for (std::int64_t budget = smallest - kMiB; budget < smallest + 20 * kMiB; budget += kMiB) {
    EXPECT_EQ(accepts(budget), budget >= smallest) << budget;
  }
}

TEST_F(PlannerTest, MakesTheSamePlanHoweverMuchThisProcessHolds) {
  for (const char* budget : {"26MiB", "30MiB", "100GiB"}) {
    const PlannedTraining first = plan(budget, {}, {});
    std::vector<int> held(3 * kMiB / sizeof(int));
    std::iota(held.begin(), held.end(), 0);
    const PlannedTraining second = plan(budget, {}, {});
    EXPECT_EQ(second.choices, first.choices) << budget << held.back();
    EXPECT_EQ(second.predicted_peak_bytes(), first.predicted_peak_bytes()) << budget;
  }
}

TEST_F(PlannerTest, RefusesWithThePlanThatTakesLeast) {
  try {
    plan("20MiB");
    FAIL();
  } catch (const DoesNotFit& refusal) {
    const PlannedTraining& smallest = refusal.smallest();
    EXPECT_FALSE(smallest.fits());
    EXPECT_GT(smallest.step_seconds, 0);
    EXPECT_EQ(smallest.choices.micro_batch, 1);
    const std::int64_t named = (smallest.predicted_peak_bytes() + kMiB - 1) / kMiB;
    EXPECT_NE(refusal.mend().find(std::to_string(named) + " MiB"), std::string::npos)
        << refusal.what();
  }
}

class Recorded : public PlannerTest {
 protected:
  // Large micro-batches are faster here: where there is room the planner takes 16 sequences, in 30
  // MiB it takes fewer.
  void SetUp() override { set_costs(0.5); }
  static PlanRecord record(const std::string& budget, std::vector<std::string> overrides = {}) {
    return record_of(*plan(budget, std::move(overrides), {}).compiled);
  }
};

TEST_F(Recorded, PlanIsTakenAgainWhereTheConfigNamesHowActivationsAreStored) {
  for (const char* level : {"keep", "compact", "recompute", "int8"}) {
    const std::vector<std::string> named = {std::string("memory.activations=") + level};
    std::vector<std::string> of_one = named;
    of_one.push_back("batch.micro_batch=1");
    const PlanRecord small = record("100GiB", of_one);
    ASSERT_NE(plan("100GiB", named).compiled->batch, small.micro_batch) << level;
    const PlannedTraining again = plan("100GiB", named, {.record = &small});
    EXPECT_EQ(record_of(*again.compiled), small) << level;
    EXPECT_EQ(again.of_record, "plan: as recorded in the checkpoint");
  }
}

TEST_F(Recorded, PlanGivesWayToAConfigThatNamesAnother) {
  const PlanRecord kept = record("100GiB", {"memory.activations=keep"});
  const PlannedTraining other = plan("100GiB", {"memory.activations=recompute"}, {.record = &kept});
  EXPECT_FALSE(other.compiled->stored.empty());
  EXPECT_NE(other.of_record.find("the config rules out"), std::string::npos) << other.of_record;
}

// It changes no bits: the config's word, and what fits, count.
TEST_F(Recorded, CopiesAheadAreTakenAgainUnlessTheConfigNamesOthersOrTheyDoNotFit) {
  const PlanRecord ahead = record("100GiB", {"memory.offload=all", "memory.fetch_ahead=4"});
  EXPECT_EQ(ahead.fetch_ahead, 4);
  const PlannedTraining again = plan("100GiB", {"memory.offload=all"}, {.record = &ahead});
  EXPECT_EQ(record_of(*again.compiled), ahead);
  const PlannedTraining named =
      plan("100GiB", {"memory.offload=all", "memory.fetch_ahead=1"}, {.record = &ahead});
  EXPECT_EQ(named.compiled->fetch_ahead, 1);
  EXPECT_EQ(named.of_record, "plan: as recorded in the checkpoint");
  const PlannedTraining less =
      plan(std::to_string(again.predicted_peak_bytes() - again.snapshot_bytes - 1),
           {"memory.offload=all"}, {.record = &ahead});
  EXPECT_EQ(less.compiled->fetch_ahead, 0);
  EXPECT_EQ(less.of_record, "plan: as recorded in the checkpoint");
  // Pages of the file fit this machine's memory.
  EXPECT_EQ(plan("1GiB", {"memory.offload=all"}).choices.fetch_ahead, 0);
}

TEST_F(Recorded, PlanThatNoLongerFitsIsMadeAnewWithALineThatBitsWillDiffer) {
  const PlanRecord large = record("100GiB");
  const PlannedTraining small = plan("30MiB", {}, {.record = &large});
  EXPECT_TRUE(small.fits());
  EXPECT_NE(small.of_record.find("needs "), std::string::npos) << small.of_record;
  EXPECT_NE(small.of_record.find("differ in their last bits"), std::string::npos);
  EXPECT_EQ(plan("30MiB").of_record, "");
}

TEST_F(Recorded, PlanThatNobodyUnderstandsIsMadeAnewWithALine) {
  PlanRecord unknown = record("30MiB");
  unknown.stored["an activation of a later version"] = Storage::recompute;
  const PlannedTraining anew = plan("100GiB", {}, {.record = &unknown});
  EXPECT_EQ(anew.choices, plan("100GiB").choices);
  EXPECT_NE(anew.of_record.find("another version"), std::string::npos) << anew.of_record;
  const PlannedTraining unread = plan("100GiB", {}, {.record_problem = "it is malformed"});
  EXPECT_NE(unread.of_record.find("it is malformed"), std::string::npos) << unread.of_record;
}

}  // namespace
}  // namespace ingot

// A run that is far faster than its plan predicted has seen that the costs behind the plan were
// measured on a busy machine: they are measured again for the next plan. Costs made by hand, no
// clock decides here.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "planning/planner.h"
#include "tests/tiny_run.h"

namespace ingot {
namespace {

using nlohmann::json;

class Predictions : public testing::Test {
 protected:
  // Four steps of 512 tokens whose logits take 64 MiB when they exist at once: 32 MiB less, and the
  // planner has to search, with costs.
  void SetUp() override {
    setenv("XDG_CACHE_HOME", run_.directory("cache").c_str(), 1);
    json model = json::parse(tiny_model("llama"));
    model["vocab_size"] = 32768;
    put_file(run_.folder() / "model.json", model.dump());
    overrides_ = {"batch.micro_batch=32", "batch.tokens_per_step=512", "schedule.steps=4",
                  "log.validate_every=0", "checkpoint.every=0",        "memory.head_chunk=512"};
    const std::int64_t roomy =
        plan_training(run_.config("run", overrides_), backend_).predicted_peak_bytes();
    overrides_.back() = setting("memory.budget", std::to_string(roomy - (32 << 20)));
    ASSERT_GT(predicted_seconds(), 0);
  }

  double predicted_seconds() {
    return plan_training(run_.config("run", overrides_), backend_).step_seconds;
  }

  // As measured once, on a machine that is so much slower.
  void keep_costs_slower_by(double factor) const {
    for (const auto& entry : std::filesystem::directory_iterator(run_.directory("cache/ingot"))) {
      json file = json::parse(contents_of(entry.path()));
      if (!file["measured"].is_object()) continue;
      for (json& timings : file["measured"]) {
        for (json& timing : timings) timing[3] = timing[3].get<double>() * factor;
      }
      file["measurements"] = 1;
      file["doubtful"] = false;
      put_file(entry.path(), file.dump());
    }
  }

  // What the run says.
  std::string train() const {
    testing::internal::CaptureStdout();
    EXPECT_EQ(run_.train("run", overrides_, {.threads = 2, .quiet = false}), 0);
    return testing::internal::GetCapturedStdout();
  }

  TinyRun run_;
  std::vector<std::string> overrides_;
  cpu::CpuBackend backend_ = tiny_backend(2);
};

constexpr const char* kDoubt = "the next plan measures it again";

TEST_F(Predictions, ThatARunContradictsAreMeasuredAgainForTheNextPlan) {
  keep_costs_slower_by(1e9);
  const double slow = predicted_seconds();
  EXPECT_GT(slow, 1000);
  EXPECT_EQ(predicted_seconds(), slow);  // as long as nothing contradicts them
  const std::string said = train();
  EXPECT_NE(said.find(kDoubt), std::string::npos) << said;
  EXPECT_EQ(said.find(kDoubt), said.rfind(kDoubt));
  EXPECT_LT(predicted_seconds(), 1000);
}

TEST_F(Predictions, ThatARunDoesNotReachStayAsTheyAre) {
  keep_costs_slower_by(1e-9);
  const double fast = predicted_seconds();
  EXPECT_EQ(train().find(kDoubt), std::string::npos);
  EXPECT_EQ(predicted_seconds(), fast);
}

// Its steps are the warm-up.
TEST_F(Predictions, AreNotDoubtedByAShortRun) {
  keep_costs_slower_by(1e9);
  overrides_.push_back("schedule.steps=2");
  EXPECT_EQ(train().find(kDoubt), std::string::npos);
  EXPECT_GT(predicted_seconds(), 1000);
}

}  // namespace
}  // namespace ingot

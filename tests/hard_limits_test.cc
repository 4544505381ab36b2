// What `ingot plan` promises is what `ingot train` keeps: the kernel allows no more. A short
// version of tests/bench/hard_limits.cc.
#include "tests/hard_limits.h"

#include <gtest/gtest.h>

#include "io/test_folder.h"

namespace ingot {
namespace {

class HardLimits : public testing::Test {
 protected:
  LimitedRun run(const std::string& config) const {
    return {.config = "configs/runs/" + config + ".json",
            .data = folder_ / "data",
            .folder = folder_ / "run",
            .steps = 24,
            .stop_after = 11,
            .save_every = 8,
            .validate_every = 6,
            .settings = {"batch.tokens_per_step=1024", "data.validation_tokens=4096",
                         "log.sample_tokens=16"}};
  }

  static void expect_kept(const LimitedResult& result) {
    EXPECT_EQ(result.failure, "");
    EXPECT_GT(result.peak, 0);
    EXPECT_LE(result.peak, result.promised);
    EXPECT_EQ(result.steps, 24);
    EXPECT_EQ(result.resumes, 1);
    EXPECT_EQ(result.validations, 4);
    EXPECT_GE(result.saves, 4);  // three, and where it was stopped
  }

  TestFolder folder_{fast_temporary_folder()};
};

TEST_F(HardLimits, ADenseModelTrainsSamplesSavesAndResumesInWhatThePlanPromised) {
  prepare_text("tools/ingot", folder_ / "data", 512);
  const LimitedResult result = train_within_promise(run("llama_tiny"));
  expect_kept(result);
  EXPECT_EQ(result.samples, 3);
}

TEST_F(HardLimits, SoDoesAMixtureOfExpertsWhenAllTokensGoToTheSame) {
  write_one_token(folder_ / "data", 512);
  const LimitedResult result = train_within_promise(run("deepseek_v3_tiny"));
  expect_kept(result);
  EXPECT_GT(result.least_load, 0.99 * 8 / 2);  // two of eight experts have everything
}

TEST_F(HardLimits, ALimitBelowThePromiseIsAnErrorAndNotADeath) {
  write_one_token(folder_ / "data", 512);
  LimitedRun run = this->run("llama_tiny");
  run.below_the_promise = 32 << 20;  // less than the arena alone
  const LimitedResult result = train_within_promise(run);
  EXPECT_NE(result.failure.find("exit code 4"), std::string::npos) << result.failure;
  EXPECT_NE(result.failure.find("ingot: error: "), std::string::npos) << result.failure;
}

}  // namespace
}  // namespace ingot

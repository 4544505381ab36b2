// Validation measures the same tokens whatever the plan.
#include <gtest/gtest.h>

#include "tests/tiny_run.h"

namespace ingot {
namespace {

class Validation : public testing::TestWithParam<const char*> {
 protected:
  // The validation loss of fresh weights that do not learn. The shard has six sequences.
  double loss(const std::string& name, const std::vector<std::string>& plan,
              const std::string& tokens) const {
    std::vector<std::string> overrides = {
        "optimizer.learning_rate=0", "batch.tokens_per_step=128",
        "schedule.steps=2",          "log.validate_every=2",
        "checkpoint.every=0",        "data.validation_tokens=" + tokens};
    overrides.insert(overrides.end(), plan.begin(), plan.end());
    EXPECT_EQ(run_.train(name, overrides), 0);
    return metric(run_.directory(name), "validation_loss").at(0);
  }

  TinyRun run_{GetParam(), "fp32"};
};

TEST_P(Validation, IsOfTheSameTokensForAnyMicroBatch) {
  // All six, five of them (the last batch is not full for any of 2, 4 and 8), and a part of one.
  std::vector<double> losses;
  for (const char* const tokens : {"0", "80", "65", "7"}) {
    const std::string name = std::string("tokens") + tokens;
    const double expected = loss(name, {"batch.micro_batch=1"}, tokens);
    for (const char* const micro_batch : {"2", "4", "8"}) {
      // Sums over more rows at once are rounded otherwise, no more.
      EXPECT_NEAR(
          loss(name + "-" + micro_batch, {std::string("batch.micro_batch=") + micro_batch}, tokens),
          expected, 1e-6 * expected)
          << tokens << " tokens, micro-batch " << micro_batch;
    }
    EXPECT_NEAR(loss(name + "-chunks", {"batch.micro_batch=8", "memory.head_chunk=16"}, tokens),
                expected, 1e-6 * expected);
    losses.push_back(expected);
  }
  EXPECT_NE(losses[0], losses[1]);
  EXPECT_EQ(losses[1], losses[2]);  // up to the end of a sequence
  EXPECT_NE(losses[2], losses[3]);
}

INSTANTIATE_TEST_SUITE_P(Families, Validation, testing::Values("llama", "deepseek_v3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace ingot

#include "planning/plan_space.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

RunConfig config(std::int64_t tokens, std::int64_t sequence) {
  return parse_run_config(R"({"model": {"model_type": "llama", "vocab_size": 64,
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 2}})",
                          "run.json", ".",
                          {"batch.tokens_per_step=" + std::to_string(tokens),
                           "data.sequence_length=" + std::to_string(sequence)});
}

using Batches = std::vector<std::int64_t>;

TEST(MicroBatchChoices, AreAllDivisorsOfTheGlobalBatchLargestFirst) {
  EXPECT_EQ(micro_batch_choices(config(12 * 8, 8)), (Batches{12, 6, 4, 3, 2, 1}));
  EXPECT_EQ(micro_batch_choices(config(16 * 8, 8)), (Batches{16, 8, 4, 2, 1}));  // a square
  EXPECT_EQ(micro_batch_choices(config(13 * 8, 8)), (Batches{13, 1}));
  EXPECT_EQ(micro_batch_choices(config(8, 8)), Batches{1});
}

TEST(MicroBatchChoices, OfTheLargestGlobalBatchAreFoundAtOnce) {
  const Batches batches = micro_batch_choices(config(std::int64_t{1} << 40, 2));
  ASSERT_EQ(batches.size(), 40u);
  EXPECT_EQ(batches.front(), std::int64_t{1} << 39);
  EXPECT_EQ(batches.back(), 1);
}

TEST(OpenChoices, LeaveOutMicroBatchesThatAreOnlyLarger) {
  EXPECT_EQ(open_choices(config(std::int64_t{1} << 16, 2048)).batches, (Batches{4, 2, 1}));
  EXPECT_EQ(open_choices(config(6 * 1500, 1500)).batches, (Batches{3, 2, 1}));
}

}  // namespace
}  // namespace ingot

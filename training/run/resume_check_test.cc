#include "training/run/resume_check.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace ingot {
namespace {

// A hundred thousand tokens in sequences of 32.
DataRecord record() {
  return {.tokenizer_hash = 7,
          .end_of_text = 2,
          .sequence_length = 32,
          .seed = 1,
          .shards = {{.tokens = 60000, .hash = 11}, {.tokens = 40000, .hash = 12}}};
}

constexpr DataPosition kPosition{.epoch = 1, .sample = 80};

TEST(ResumedPosition, IsWhereTheRunStoodWhenNothingChanged) {
  const ResumedPosition resumed = resumed_position(record(), kPosition, record());
  EXPECT_EQ(resumed.position, kPosition);
  EXPECT_EQ(resumed.line, "");
}

TEST(ResumedPosition, LeavesTheSameTokensBehindWithAnotherSequenceLength) {
  DataRecord now = record();
  now.sequence_length = 16;
  EXPECT_EQ(resumed_position(record(), kPosition, now).position, (DataPosition{1, 160}));
  now.sequence_length = 1000;  // 2,560 tokens: the third sample has begun
  EXPECT_EQ(resumed_position(record(), kPosition, now).position, (DataPosition{1, 3}));
  EXPECT_NE(resumed_position(record(), kPosition, now).line.find("was 32"), std::string::npos);
}

TEST(ResumedPosition, IsTheNextEpochWhereTheLastSampleWasTaken) {
  DataRecord now = record();
  now.sequence_length = 64;
  const DataPosition last{.epoch = 1, .sample = 3124};  // of 3,125
  EXPECT_EQ(resumed_position(record(), last, now).position, (DataPosition{2, 0}));
}

TEST(ResumedPosition, StaysWhereShardsWereAddedAtTheEnd) {
  DataRecord now = record();
  now.shards.push_back({.tokens = 5000, .hash = 13});
  const ResumedPosition resumed = resumed_position(record(), kPosition, now);
  EXPECT_EQ(resumed.position, kPosition);
  EXPECT_NE(resumed.line.find("5000 tokens more"), std::string::npos) << resumed.line;
}

TEST(ResumedPosition, BeginsOtherShardsWithTheirFirstSample) {
  for (const std::size_t changed : {0, 1}) {
    DataRecord now = record();
    now.shards[changed].hash = 99;
    EXPECT_EQ(resumed_position(record(), kPosition, now).position, DataPosition{});
    EXPECT_NE(resumed_position(record(), kPosition, now).line, "");
  }
  DataRecord fewer = record();
  fewer.shards.pop_back();
  EXPECT_EQ(resumed_position(record(), kPosition, fewer).position, DataPosition{});
}

TEST(ChangedSettings, AreNamedWithBothValues) {
  RunConfig then, now;
  EXPECT_TRUE(changed_settings(then, now).empty());
  now.memory.budget.bytes = 5;  // how, not what
  now.batch.micro_batch = 4;
  EXPECT_TRUE(changed_settings(then, now).empty());
  now.optimizer.learning_rate = 0.5;
  now.optimizer.state = OptimizerState::int8;
  now.schedule.steps = 9;
  EXPECT_EQ(changed_settings(then, now),
            (std::vector<std::string>{"optimizer.learning_rate is 0.5 from here on; it was 0.0003",
                                      "optimizer.state is \"int8\" from here on; it was \"fp32\"",
                                      "schedule.steps is 9 from here on; it was 2000"}));
  now = then;
  now.optimizer.type = OptimizerType::muon;
  const std::vector<std::string> lines = changed_settings(then, now);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], "optimizer.type is \"muon\" from here on; it was \"adamw\"");
}

TEST(ResumedPosition, SaysThatAnotherSeedIsAnotherOrder) {
  DataRecord now = record();
  now.seed = 2;
  EXPECT_EQ(resumed_position(record(), kPosition, now).position, kPosition);
  EXPECT_NE(resumed_position(record(), kPosition, now).line.find("seed was 1"), std::string::npos);
}

}  // namespace
}  // namespace ingot

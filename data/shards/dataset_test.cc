#include "data/shards/dataset.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "data/shards/shard_testing.h"
#include "io/test_folder.h"

namespace ingot {
namespace {

// Three shards of a stream 0, 1, 2, ...; the second is shorter than a sample.
class ThreeShards : public ::testing::Test {
 protected:
  ThreeShards() {
    write_shard(folder_ / "train-00000", counting_tokens(0, 25, 1000), 1000);
    write_shard(folder_ / "train-00001", counting_tokens(25, 3, 1000), 1000);
    write_shard(folder_ / "train-00002", counting_tokens(28, 33, 1000), 1000);
  }
  Dataset open(std::int64_t length, std::vector<std::string> names = {"train-*.bin"},
               std::uint64_t vocabulary = 1000) {
    for (auto& name : names) name = folder_ / name;
    return Dataset({.patterns = names, .sequence_length = length, .vocabulary_size = vocabulary});
  }
  TestFolder folder_;
};

TEST_F(ThreeShards, SamplesTileTheStreamAcrossShards) {
  for (const std::int64_t length : {1, 2, 4, 7, 12, 30, 59, 60}) {
    const Dataset data = open(length);
    EXPECT_EQ(data.token_count(), 61);
    ASSERT_EQ(data.sample_count(), 60 / length);
    std::vector<std::int32_t> tokens(length), targets(length);
    for (std::int64_t sample = 0; sample < data.sample_count(); ++sample) {
      data.prefetch(sample);
      data.read(sample, tokens, targets);
      for (std::int64_t t = 0; t < length; ++t) {
        ASSERT_EQ(tokens[t], sample * length + t);
        ASSERT_EQ(targets[t], sample * length + t + 1);
      }
    }
    EXPECT_THROW(data.read(data.sample_count(), tokens, targets), std::logic_error);
    EXPECT_THROW(data.read(-1, tokens, targets), std::logic_error);
  }
}

TEST_F(ThreeShards, ASequenceLongerThanTheDataIsADataError) {
  expect_error(
      ErrorCode::data, [&] { open(61); }, "61 + 1 tokens", "has 61", "sequence_length");
}

TEST_F(ThreeShards, PatternsGiveEachFileOnceInOrder) {
  const Dataset data = open(1, {"train-00002.bin", "train-*.bin", "train-0000?.bin"});
  ASSERT_EQ(data.shards().size(), 3u);
  EXPECT_EQ(data.shards()[0].path().filename(), "train-00002.bin");
  EXPECT_EQ(data.shards()[1].path().filename(), "train-00000.bin");
  EXPECT_EQ(data.shards()[2].path().filename(), "train-00001.bin");
}

TEST_F(ThreeShards, StarsMatchFoldersAndFilesMayHoldBrackets) {
  const auto folder = folder_ / "part-1";
  std::filesystem::create_directory(folder);
  write_shard(folder / "a[1]", counting_tokens(0, 9, 1000), 1000);
  EXPECT_EQ(open(1, {"part-*/*.bin"}).token_count(), 9);
  EXPECT_EQ(open(1, {"part-1/a[1].bin"}).token_count(), 9);
}

TEST_F(ThreeShards, WhatMatchesNothingIsNamed) {
  expect_error(
      ErrorCode::data,
      [&] {
        open(1, {"train-*.bin", "missing-*.bin"});
      },
      "missing-*.bin");
  expect_error(
      ErrorCode::data, [&] { open(1, {}); }, "no token shards");
  expect_error(
      ErrorCode::data, [&] { open(1, {""}); }, "");
}

TEST_F(ThreeShards, ShardsOfAnotherTokenizerAreRefused) {
  write_shard(folder_ / "train-00003", counting_tokens(0, 9, 1000), 1000, 78);
  expect_error(
      ErrorCode::data, [&] { open(4); }, "another tokenizer", "train-00003.bin", "train-00000.bin");
  write_shard(folder_ / "train-00003", counting_tokens(0, 9, 999), 999);
  expect_error(
      ErrorCode::data, [&] { open(4); }, "another tokenizer");
}

TEST_F(ThreeShards, AVocabularyLargerThanTheModelsIsRefused) {
  open(4, {"train-*.bin"}, 1001);
  EXPECT_EQ(open(4, {"train-*.bin"}, 0).tokenizer_hash(), 77u);
  expect_error(
      ErrorCode::data, [&] { open(4, {"train-*.bin"}, 999); }, "1000", "999", "vocab_size");
}

// Every token is another one, all of the vocabulary: the header knows nothing of it.
TEST_F(ThreeShards, DamagedTokensAreFoundWhenTheDataIsVerified) {
  DatasetOptions options{.patterns = {folder_ / "train-*.bin"}, .sequence_length = 4};
  options.verify = true;
  EXPECT_EQ(Dataset(options).token_count(), 61);
  std::string bytes = contents_of(folder_ / "train-00001.bin");
  for (std::size_t at = kShardHeaderBytes; at < bytes.size(); at += 2) {
    bytes[at] = 70;
    bytes[at + 1] = 0;
  }
  put_file(folder_ / "train-00001.bin", bytes);
  expect_error(
      ErrorCode::data, [&] { Dataset data(options); }, "hash", "train-00001.bin");
  options.verify = false;
  EXPECT_EQ(Dataset(options).token_count(), 61);
}

TEST_F(ThreeShards, OnePathIsNoPatternWhereThereIsAFileOfThatName) {
  for (const std::string name : {"a*", "b?", "c[1]", "d\\", "e[", "f]*"}) {
    std::filesystem::create_directory(folder_ / name);
    std::filesystem::create_directory(folder_ / (name + "x"));
    write_shard(folder_ / name / "t-1", counting_tokens(0, 9, 1000), 1000);
    write_shard(folder_ / (name + "x") / "t-1", counting_tokens(0, 5, 1000), 1000);
    write_shard(folder_ / name / "t-*", counting_tokens(0, 3, 1000), 1000);
    EXPECT_EQ(open(1, {name + "/t-1.bin"}).token_count(), 9) << name;
    EXPECT_EQ(open(1, {name + "/t-?.bin"}).token_count(), 12) << name;
    EXPECT_EQ(open(1, {name + "/t-*.bin"}).token_count(), 3) << name;
  }
}

TEST_F(ThreeShards, ShardsThatEndDocumentsOtherwiseAreRefused) {
  const auto add = [&](const char* name, std::optional<std::uint32_t> end) {
    ShardWriter writer(folder_ / name,
                       {.tokenizer_hash = 77, .vocabulary_size = 1000, .end_of_text = end});
    writer.append(counting_tokens(0, 9, 1000));
    writer.commit();
  };
  EXPECT_EQ(open(1).end_of_text(), std::nullopt);
  add("train-00003", 7);
  EXPECT_EQ(open(1).end_of_text(), 7u);  // the others do not say
  add("train-00004", 8);
  expect_error(
      ErrorCode::data, [&] { open(1); }, "end with token 8", "with 7", "train-00004.bin");
}

TEST_F(ThreeShards, ADamagedTokenIsNamedWhenItIsRead) {
  std::string bytes = contents_of(folder_ / "train-00002.bin");
  bytes[kShardHeaderBytes + 2 * 5 + 1] = '\x70';
  put_file(folder_ / "train-00002.bin", bytes);
  const Dataset data = open(10);
  std::vector<std::int32_t> tokens(10), targets(10);
  data.read(0, tokens, targets);
  expect_error(
      ErrorCode::data, [&] { data.read(3, tokens, targets); }, "train-00002.bin", "position 5");
}

}  // namespace
}  // namespace ingot

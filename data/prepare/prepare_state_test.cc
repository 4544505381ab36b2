#include "data/prepare/prepare_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "io/test_folder.h"
#include "tests/fuzz/mutate.h"

namespace ingot {
namespace {

PrepareState example() {
  PrepareState state;
  state.settings = {.inputs = {"a", "b \xff"},
                    .files = 3,
                    .bytes = 1000,
                    .fingerprint = ~std::uint64_t{0},
                    .tokenizer = "train",
                    .trained_vocabulary = 300,
                    .sample_bytes = 1 << 20,
                    .field = "text",
                    .validation = 0.02,
                    .shard_tokens = 100,
                    .tokenizer_hash = 12,
                    .vocabulary_size = 299,
                    .end_of_text = 7,
                    .begin_of_text = 3};
  state.tokenizer_ready = true;
  state.train.shards.push_back({"train-00000", {2, 100, 5, 12, 99, 299, 7, 3}, 1, {2, 40}});
  state.train.shards.push_back({"train-00001", {2, 50, 0, 12, 98, 299, 7, 3}, 0, {3, 0}});
  state.train.done = true;
  return state;
}

TEST(PrepareState, SurvivesTheDisk) {
  TestFolder folder;
  EXPECT_FALSE(load_state(folder.path()).has_value());
  const PrepareState state = example();
  save_state(folder.path(), state);
  const auto loaded = load_state(folder.path());
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(difference(state.settings, loaded->settings, true), "");
  EXPECT_TRUE(loaded->tokenizer_ready);
  EXPECT_TRUE(loaded->train.done);
  EXPECT_FALSE(loaded->validation.done);
  ASSERT_EQ(loaded->train.shards.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(loaded->train.shards[i].name, state.train.shards[i].name);
    EXPECT_EQ(loaded->train.shards[i].header, state.train.shards[i].header);
    EXPECT_EQ(loaded->train.shards[i].empty_documents, state.train.shards[i].empty_documents);
    EXPECT_EQ(loaded->train.shards[i].end, state.train.shards[i].end);
  }
}

TEST(PrepareState, EveryDifferenceIsNamed) {
  const PrepareSettings before = example().settings;
  const auto changed = [&](auto change) {
    PrepareSettings now = before;
    change(now);
    return difference(before, now, true);
  };
  EXPECT_NE(changed([](auto& s) { s.fingerprint = 1; }), "");
  EXPECT_NE(changed([](auto& s) { s.tokenizer = ""; }), "");
  EXPECT_EQ(changed([](auto& s) { s.trained_vocabulary = 301; }), "--vocab was 300, is now 301");
  EXPECT_NE(changed([](auto& s) { s.sample_bytes = 1; }), "");
  EXPECT_EQ(changed([](auto& s) { s.field = "body"; }), "--field was text, is now body");
  EXPECT_EQ(changed([](auto& s) { s.validation = 0; }), "--validation was 0.02, is now 0.0");
  EXPECT_NE(changed([](auto& s) { s.shard_tokens = 1; }), "");
  EXPECT_NE(changed([](auto& s) { s.tokenizer_hash = 1; }), "");
  EXPECT_NE(changed([](auto& s) { s.end_of_text = 1; }), "");
}

TEST(PrepareState, ShardNamesAreToldFromOthers) {
  for (const char* name : {"train-00000.bin", "validation-00001.idx", "train-123456.bin"}) {
    EXPECT_TRUE(is_shard_name(name)) << name;
  }
  for (const char* name : {"train-0000.bin", "train-00000.txt", "train-00000", "00000.bin",
                           "xtrain-00000.bin", "train-00000.bin.bak", "train-0000x.bin", ""}) {
    EXPECT_FALSE(is_shard_name(name)) << name;
  }
}

TEST(PrepareState, CleaningTakesOnlyWhatPrepareMade) {
  TestFolder folder;
  const auto names = [&] {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  };
  for (const char* name :
       {"train-00000.bin", "train-00001.bin.12-3.partial", "notes.txt", "notes.txt.1-1.partial",
        "prepare.json", "prepare.json.12-4.partial", "tokenizer.json"}) {
    put_file(folder / name, "x");
  }
  clean(folder.path(), false);
  EXPECT_EQ(names(), (std::vector<std::string>{"notes.txt", "notes.txt.1-1.partial", "prepare.json",
                                               "tokenizer.json", "train-00000.bin"}));
  clean(folder.path(), true);
  EXPECT_EQ(names(),
            (std::vector<std::string>{"notes.txt", "notes.txt.1-1.partial", "tokenizer.json"}));
}

TEST(PrepareState, MutatedFilesAreRefusedOrRead) {
  TestFolder folder;
  save_state(folder.path(), example());
  const std::string seed = contents_of(folder / "prepare.json");
  fuzz::Rng rng(3);
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    try {
      parse_state(fuzz::mutate(seed, rng), "prepare.json");
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(error.code(), ErrorCode::data) << error.what();
    }
  }
  EXPECT_GT(refused, 5'000);
  EXPECT_LT(refused, 20'000);
}

}  // namespace
}  // namespace ingot

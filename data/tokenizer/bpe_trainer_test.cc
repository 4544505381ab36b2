// The tokenizers of testdata were trained by Hugging Face tokenizers 0.23.3 on testdata/texts.json,
// one document per text, 700 tokens; llama3's last 40 merges were taken out afterwards.
#include "data/tokenizer/bpe_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/tokenizer/tokenizer.h"
#include "engine/base/error.h"

namespace ingot {
namespace {

std::string read_file(const std::string& name) {
  std::ifstream stream("data/tokenizer/testdata/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::vector<std::string> texts() { return nlohmann::json::parse(read_file("texts.json")); }

TokenizerSpec train(BpeTrainerOptions options, const std::vector<std::string>& documents) {
  BpeTrainer trainer(std::move(options));
  for (const std::string& document : documents) trainer.add(document);
  return trainer.train();
}

std::vector<std::array<std::uint32_t, 3>> plain(std::span<const BpeMerge> merges) {
  std::vector<std::array<std::uint32_t, 3>> triples;
  for (const BpeMerge& merge : merges) triples.push_back({merge.left, merge.right, merge.result});
  return triples;
}

class EveryKind : public testing::TestWithParam<const char*> {};

TEST_P(EveryKind, LearnsWhatHuggingFaceLearns) {
  const TokenizerSpec expected =
      parse_tokenizer_json(read_file(std::string(GetParam()) + ".json"), GetParam());
  const TokenizerSpec learned = train({.vocabulary_size = 700,
                                       .split_steps = expected.split_steps,
                                       .normalization = expected.normalization},
                                      texts());
  EXPECT_EQ(learned.vocabulary, expected.vocabulary);
  ASSERT_GE(learned.merges.size(), expected.merges.size());
  EXPECT_GT(expected.merges.size(), 350u);
  EXPECT_EQ(plain({learned.merges.data(), expected.merges.size()}), plain(expected.merges));
}

INSTANTIATE_TEST_SUITE_P(BpeTrainer, EveryKind,
                         testing::Values("gpt2", "gpt2_prefix", "llama3", "qwen2", "deepseek_v3",
                                         "deepseek_v2", "mixed", "inverted"));

TEST(BpeTrainer, OrderOfDocumentsDoesNotMatter) {
  std::vector<std::string> documents = texts();
  const std::uint64_t forward = hash(train({.vocabulary_size = 600}, documents));
  std::reverse(documents.begin(), documents.end());
  EXPECT_EQ(hash(train({.vocabulary_size = 600}, documents)), forward);
}

TEST(BpeTrainer, WrittenFileReadsAsTheSameTokenizer) {
  const TokenizerSpec spec = train({.vocabulary_size = 600}, texts());
  const Tokenizer read = Tokenizer::parse(write_tokenizer_json(spec), "written");
  EXPECT_EQ(read.hash(), hash(spec));
  for (const std::string& text : texts())
    EXPECT_EQ(read.encode(text), Tokenizer(spec).encode(text));
  EXPECT_EQ(read.token_id("<|endoftext|>"), 0u);
  EXPECT_EQ(read.vocabulary_size(), 600u);
}

TEST(BpeTrainer, StopsWhenTheTextGivesOut) {
  const TokenizerSpec spec = train({.vocabulary_size = 5000}, {"abc abc", "\xff\xfe"});
  EXPECT_EQ(spec.vocabulary.size(), 257 + spec.merges.size());
  EXPECT_EQ(spec.merges.size(), 3u);  // bc, abc, Ġabc
  EXPECT_EQ(train({.vocabulary_size = 257}, {"abc abc"}).merges.size(), 0u);
  EXPECT_EQ(train({}, {}).merges.size(), 0u);
}

TEST(BpeTrainer, RefusesVocabulariesWithoutPlaceForTheBytes) {
  EXPECT_THROW(BpeTrainer({.vocabulary_size = 256}), Error);
  EXPECT_THROW(BpeTrainer({.vocabulary_size = 4'000'000'000}), Error);
}

}  // namespace
}  // namespace ingot

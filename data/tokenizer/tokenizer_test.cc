// Expectations in testdata/NAME.ids.json come from Hugging Face tokenizers 0.23.3,
// encode(add_special_tokens=False) of testdata/NAME.json for each of testdata/texts.json.
#include "data/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "data/tokenizer/pretokenizer_unicode.h"
#include "engine/base/error.h"
#include "io/test_folder.h"
#include "tests/fuzz/mutate.h"

namespace ingot {
namespace {

using Ids = std::vector<std::uint32_t>;

const std::string kFolder = "data/tokenizer/testdata/";

nlohmann::json read_json(const std::string& name) {
  return nlohmann::json::parse(std::ifstream(kFolder + name));
}

class EveryKind : public testing::TestWithParam<const char*> {
 protected:
  Tokenizer tokenizer = Tokenizer::load(kFolder + GetParam() + ".json");
};

TEST_P(EveryKind, EncodesLikeHuggingFaceTokenizers) {
  const auto texts = read_json("texts.json").get<std::vector<std::string>>();
  const auto expected = read_json(std::string(GetParam()) + ".ids.json").get<std::vector<Ids>>();
  ASSERT_EQ(texts.size(), expected.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer.encode(texts[i]), expected[i])
        << "text " << i << ": " << nlohmann::json(texts[i]);
  }
}

TEST_P(EveryKind, SecondTimeGivesHuggingFacesIdsFromTheCache) {
  const auto texts = read_json("texts.json").get<std::vector<std::string>>();
  const auto expected = read_json(std::string(GetParam()) + ".ids.json").get<std::vector<Ids>>();
  for (int time = 0; time < 2; ++time) {
    for (std::size_t i = texts.size(); i-- > 0;) EXPECT_EQ(tokenizer.encode(texts[i]), expected[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, EveryKind,
                         testing::Values("gpt2", "gpt2_prefix", "llama3", "qwen2", "deepseek_v3",
                                         "deepseek_v2", "mixed", "inverted"));

// DeepSeek-V3's own merges, in their order, on texts of twenty scripts.
TEST(Tokenizer, EncodesWithPublishedMergesLikeHuggingFaceTokenizers) {
  const Tokenizer tokenizer = Tokenizer::load(kFolder + "deepseek_reduced.json");
  const auto sample = read_json("deepseek_reduced.ids.json");
  const auto texts = sample.at("texts").get<std::vector<std::string>>();
  const auto expected = sample.at("ids").get<std::vector<Ids>>();
  ASSERT_EQ(texts.size(), expected.size());
  ASSERT_GE(texts.size(), 20u);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer.encode(texts[i]), expected[i]) << texts[i];
    EXPECT_EQ(tokenizer.decode(expected[i]), texts[i]);
  }
}

TEST(Tokenizer, KeepsEveryByteWithoutNormalizer) {
  fuzz::Rng rng(3);
  for (const char* name : {"llama3", "deepseek_v3", "deepseek_v2"}) {
    const Tokenizer tokenizer = Tokenizer::load(kFolder + name + ".json");
    for (const auto& text : read_json("texts.json").get<std::vector<std::string>>()) {
      for (int i = 0; i < 20; ++i) {
        const std::string bytes = fuzz::mutate(text, rng).substr(0, 5000);
        ASSERT_EQ(tokenizer.decode(tokenizer.encode(bytes)), bytes) << name;
      }
    }
  }
}

TEST(Tokenizer, LongPiecesMergeLikeShortOnes) {
  // Around the length where the merge loop changes, against the plainest loop over all merges.
  const TokenizerSpec spec = parse_tokenizer_json(read_json("llama3.json").dump(), "llama3.json");
  const Tokenizer tokenizer(spec);
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t> ranks;
  for (std::size_t i = 0; i < spec.merges.size(); ++i)
    ranks[{spec.merges[i].left, spec.merges[i].right}] = i;
  fuzz::Rng rng(9);
  for (int round = 0; round < 300; ++round) {
    std::string word;
    while (word.size() < 30 + rng.below(60)) word += "etaoinshrw"[rng.below(10)];
    Ids ids;
    for (const char c : word) ids.push_back(*tokenizer.token_id(std::string(1, c)));
    while (true) {
      std::size_t best = spec.merges.size(), place = 0;
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
        const auto rank = ranks.find({ids[i], ids[i + 1]});
        if (rank != ranks.end() && rank->second < best) best = rank->second, place = i;
      }
      if (best == spec.merges.size()) break;
      ids[place] = spec.merges[best].result;
      ids.erase(ids.begin() + place + 1);
    }
    ASSERT_EQ(tokenizer.encode(word), ids) << word;
  }
}

TEST(Tokenizer, HugeWordTakesNoTimeToSpeakOf) {
  const Tokenizer tokenizer = Tokenizer::load(kFolder + "gpt2.json");
  const std::string word(300'000, 'a'), spaces(200'000, ' ');
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(word)), word);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(spaces + "x" + spaces)), spaces + "x" + spaces);
}

TEST(Tokenizer, ThreadsShareOneTokenizer) {
  const Tokenizer tokenizer = Tokenizer::load(kFolder + "deepseek_v3.json");
  const auto texts = read_json("texts.json").get<std::vector<std::string>>();
  const auto expected = read_json("deepseek_v3.ids.json").get<std::vector<Ids>>();
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < texts.size(); ++i)
        wrong += tokenizer.encode(texts[i]) != expected[i];
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Tokenizer, DecodeLeavesOutSpecialTokensWhenAsked) {
  const Tokenizer tokenizer = Tokenizer::load(kFolder + "llama3.json");
  const Ids ids = tokenizer.encode("<|begin_of_text|>hi<|eot_id|>");
  EXPECT_EQ(ids.front(), tokenizer.token_id("<|begin_of_text|>"));
  EXPECT_EQ(tokenizer.decode(ids), "<|begin_of_text|>hi<|eot_id|>");
  EXPECT_EQ(tokenizer.decode(ids, true), "hi");
  EXPECT_TRUE(tokenizer.is_special(ids.back()));
  EXPECT_THROW(tokenizer.decode(Ids{tokenizer.vocabulary_size()}), Error);
}

TEST(Tokenizer, FindsTokensInTheFilesSpelling) {
  const Tokenizer tokenizer = Tokenizer::load(kFolder + "gpt2.json");
  EXPECT_EQ(tokenizer.token_bytes(*tokenizer.token_id("Ġ")), " ");
  EXPECT_EQ(tokenizer.token_id("<|endoftext|>"), 0u);
  EXPECT_FALSE(tokenizer.token_id("no such token"));
  EXPECT_FALSE(tokenizer.token_id("\xff"));
}

TEST(Tokenizer, HashIsThatOfTheMeaningNotOfTheFile) {
  nlohmann::json json = read_json("gpt2.json");
  const auto hash = [&json] { return Tokenizer::parse(json.dump(), "test").hash(); };
  const std::uint64_t original = hash();
  json["truncation"] = {{"max_length", 3}};
  json["post_processor"] = nullptr;
  for (auto& merge : json["model"]["merges"]) {
    const std::string both = merge;
    merge = {both.substr(0, both.find(' ')), both.substr(both.find(' ') + 1)};
  }
  EXPECT_EQ(Tokenizer::parse(json.dump(2), "test").hash(), original);
  json["added_tokens"][0]["lstrip"] = true;
  EXPECT_NE(hash(), original);
  json["added_tokens"][0]["lstrip"] = false;
  std::swap(json["model"]["merges"][0], json["model"]["merges"][1]);
  EXPECT_NE(hash(), original);
}

TEST(StreamDecoder, GivesWholeCharactersOnly) {
  const Tokenizer tokenizer = Tokenizer::load(kFolder + "gpt2.json");
  const std::string text = "né中😀\u0301!";
  StreamDecoder decoder(tokenizer);
  std::string joined;
  for (const char byte : text) {
    const std::string part = decoder.push(*tokenizer.token_id(spell_bytes(std::string(1, byte))));
    EXPECT_EQ(valid_utf8_prefix(part), part.size());
    joined += part;
  }
  EXPECT_EQ(joined + decoder.finish(), text);
}

TEST(StreamDecoder, ReplacesBrokenBytes) {
  const Tokenizer tokenizer = Tokenizer::load(kFolder + "gpt2.json");
  const auto stream = [&tokenizer](std::string_view bytes) {
    StreamDecoder decoder(tokenizer);
    std::string joined;
    for (const char byte : bytes)
      joined += decoder.push(*tokenizer.token_id(spell_bytes(std::string(1, byte))));
    return joined + decoder.finish();
  };
  EXPECT_EQ(stream("a\xff b"), "a\uFFFD b");
  EXPECT_EQ(stream("\xe4\xb8"), "\uFFFD");
  EXPECT_EQ(stream("\xe4\xb8x"), "\uFFFDx");
  EXPECT_EQ(stream("\xe4\xff\xf0\x9f\x98\x80"), "\uFFFD\uFFFD\U0001F600");
  EXPECT_EQ(stream("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");
}

// As transformers reads them; special_tokens_map.json has what tokenizer_config.json has not.
TEST(Tokenizer, TheFilesBesideItNameItsSpecialTokens) {
  const TestFolder folder;
  put_file(folder / "tokenizer.json",
           R"({"added_tokens": [{"id": 2, "content": "<begin>", "special": true},
                                {"id": 3, "content": "<end>", "special": true}],
               "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
               "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}})");
  const Tokenizer plain = Tokenizer::load(folder / "tokenizer.json");
  EXPECT_FALSE(plain.bos_id() || plain.eos_id() || plain.pad_id());
  put_file(folder / "tokenizer_config.json",
           R"({"bos_token": {"__type": "AddedToken", "content": "<begin>"}, "pad_token": null})");
  put_file(folder / "special_tokens_map.json", R"({"eos_token": "<end>", "pad_token": "<none>"})");
  const Tokenizer named = Tokenizer::load(folder / "tokenizer.json");
  EXPECT_EQ(named.bos_id(), 2u);
  EXPECT_EQ(named.eos_id(), 3u);
  EXPECT_FALSE(named.pad_id().has_value());  // the vocabulary has no such token
  EXPECT_EQ(named.hash(), plain.hash());     // what a text becomes does not depend on them
  EXPECT_TRUE(named.begin_ids().empty());

  put_file(folder / "tokenizer_config.json", R"({"bos_token": "<begin>", "add_bos_token": true})");
  const Tokenizer begun = Tokenizer::load(folder / "tokenizer.json");
  EXPECT_EQ(begun.encode_prompt("ab"), (std::vector<std::uint32_t>{2, 0, 1}));
  // They belong to a file of the usual name.
  put_file(folder / "other.json", contents_of(folder / "tokenizer.json"));
  EXPECT_FALSE(Tokenizer::load(folder / "other.json").bos_id().has_value());
  put_file(folder / "tokenizer_config.json", "{");
  EXPECT_THROW(Tokenizer::load(folder / "tokenizer.json"), Error);
}

// The post-processor says by itself how texts begin, as in transformers.
TEST(Tokenizer, ThePostProcessorCountsBeforeAddBosToken) {
  const std::string json =
      R"({"added_tokens": [{"id": 2, "content": "<begin>", "special": true},
                           {"id": 3, "content": "<other>", "special": true}],
          "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<other>", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {"<other>": {"id": "<other>", "ids": [3], "tokens": ["<other>"]}}},
          "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
          "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}})";
  for (const char* flag : {"true", "false"}) {
    const CompanionFiles files = {
        {"tokenizer.json", json},
        {"tokenizer_config.json",
         std::string(R"({"bos_token": "<begin>", "add_bos_token": )") + flag + "}"}};
    EXPECT_EQ(Tokenizer::of(files, "model").encode_prompt("ab"),
              (std::vector<std::uint32_t>{3, 0, 1}));
  }
}

}  // namespace
}  // namespace ingot

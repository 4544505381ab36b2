// Malformed and unsupported tokenizer.json: one Error that names what is wrong, never anything
// else.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "data/tokenizer/tokenizer.h"
#include "engine/base/error.h"
#include "tests/fuzz/mutate.h"

namespace ingot {
namespace {

using Json = nlohmann::ordered_json;

// Letters a-e, the space and a few merges of them; every kind of step, token and option.
Json tiny() {
  return Json::parse(R"json({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [
      {"id": 0, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
      {"id": 12, "content": "<é>", "single_word": true, "lstrip": true, "rstrip": true, "normalized": true, "special": false}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|[^\\s]+|\\s+(?!\\S)"}, "behavior": "Isolated", "invert": false},
      {"type": "Split", "pattern": {"String": "--"}, "behavior": "MergedWithNext", "invert": true},
      {"type": "Digits", "individual_digits": true},
      {"type": "Punctuation", "behavior": "Contiguous"},
      {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}]},
    "post_processor": null,
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": "<|end|>", "continuing_subword_prefix": "", "end_of_word_suffix": null,
      "fuse_unk": true, "byte_fallback": false, "ignore_merges": true,
      "vocab": {"<|end|>": 0, "a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "Ġ": 6, "ab": 7, "Ġab": 8, "cd": 9, "cde": 10, "ee": 11},
      "merges": ["a b", ["Ġ", "ab"], "c d", ["cd", "e"], "e e"]}})json");
}

// The message of the Error, or "" if the file is taken.
std::string problem(const std::string& json) {
  try {
    Tokenizer::parse(json, "tiny.json");
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::data);
    EXPECT_NE(std::string(error.what()).find("tiny.json"), std::string::npos) << error.what();
    return error.what();
  }
}

std::string problem(const std::function<void(Json&)>& change) {
  Json json = tiny();
  change(json);
  return problem(json.dump());
}

TEST(TokenizerJson, TinyFileIsTaken) {
  EXPECT_EQ(problem([](Json&) {}), "");
  const Tokenizer tokenizer = Tokenizer::parse(tiny().dump(), "tiny.json");
  EXPECT_EQ(tokenizer.encode("ab cde"), (std::vector<std::uint32_t>{8, 6, 6, 10}));
  EXPECT_EQ(tokenizer.encode("ab <é> xyz"), (std::vector<std::uint32_t>{8, 12, 6, 0}));
}

TEST(TokenizerJson, MistakesAreNamed) {
  using Change = std::function<void(Json&)>;
  const std::pair<const char*, Change> cases[] = {
      {"\"model\" is missing", [](Json& j) { j.erase("model"); }},
      {"\"vocab\" is missing", [](Json& j) { j["model"].erase("vocab"); }},
      {"\"merges\" is missing", [](Json& j) { j["model"].erase("merges"); }},
      {"the same id 3", [](Json& j) { j["model"]["vocab"]["d"] = 3; }},
      {"not a natural number", [](Json& j) { j["model"]["vocab"]["d"] = -3; }},
      {"not a natural number", [](Json& j) { j["model"]["vocab"]["d"] = 1.5; }},
      {"not a natural number", [](Json& j) { j["model"]["vocab"]["d"] = "4"; }},
      {"above 4194303", [](Json& j) { j["model"]["vocab"]["d"] = 4194304; }},
      {"more than 32 bits", [](Json& j) { j["model"]["vocab"]["d"] = 1ull << 40; }},
      {"'{' is missing", [](Json& j) { j["model"]["vocab"] = Json::array(); }},
      {"needs 'x'", [](Json& j) { j["model"]["merges"].push_back("x a"); }},
      {"needs 'ba'", [](Json& j) { j["model"]["merges"].push_back("b a"); }},
      {"not two tokens", [](Json& j) { j["model"]["merges"].push_back("b a c"); }},
      {"not a pair",
       [](Json& j) {
         j["model"]["merges"].push_back({"a", "b", "c"});
       }},
      {"not a pair", [](Json& j) { j["model"]["merges"].push_back(Json::array()); }},
      {"is missing", [](Json& j) { j["model"]["merges"].push_back(7); }},
      {"\"Unigram\" is not supported", [](Json& j) { j["model"]["type"] = "Unigram"; }},
      {"\"byte_fallback\" is not supported", [](Json& j) { j["model"]["byte_fallback"] = true; }},
      {"\"end_of_word_suffix\" is not supported",
       [](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }},
      {"\"dropout\" is not supported", [](Json& j) { j["model"]["dropout"] = 0.1; }},
      {"\"Lowercase\" is not supported",
       [](Json& j) {
         j["normalizer"] = {{"type", "Lowercase"}};
       }},
      {"\"Metaspace\" is not supported",
       [](Json& j) {
         j["pre_tokenizer"] = {{"type", "Metaspace"}};
       }},
      {"not byte-level", [](Json& j) { j["pre_tokenizer"] = nullptr; }},
      {"not byte-level", [](Json& j) { j["pre_tokenizer"]["pretokenizers"].erase(4); }},
      {"after ByteLevel",
       [](Json& j) {
         j["pre_tokenizer"]["pretokenizers"].push_back({{"type", "WhitespaceSplit"}});
       }},
      {"behavior \"Sideways\"",
       [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Sideways"; }},
      {"is not understood",
       [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a"; }},
      {"empty", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][1]["pattern"]["String"] = ""; }},
      {"\"pattern\" is missing",
       [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0].erase("pattern"); }},
      {"\"WordPiece\" is not supported",
       [](Json& j) {
         j["decoder"] = {{"type", "WordPiece"}};
       }},
      {"says otherwise", [](Json& j) { j["added_tokens"][0]["id"] = 7; }},
      {"says otherwise", [](Json& j) { j["added_tokens"][1]["id"] = 7; }},
      {"has two ids",
       [](Json& j) {
         j["added_tokens"].push_back({{"id", 13}, {"content", "<é>"}});
       }},
      {"\"content\" is empty", [](Json& j) { j["added_tokens"][1]["content"] = ""; }},
      {"\"id\" is not a natural number", [](Json& j) { j["added_tokens"][1]["id"] = -1; }},
      {"\"added_tokens\" is not a list", [](Json& j) { j["added_tokens"] = 3; }},
  };
  for (const auto& [message, change] : cases) {
    const std::string what = problem(change);
    EXPECT_NE(what.find(message), std::string::npos) << message << " / " << what;
  }
}

TEST(TokenizerJson, BrokenJsonIsNamedWithItsLine) {
  for (const char* json :
       {"", "{", "[]", "null", "{}", "{\"model\"", "{\"model\": {}} x",
        "{\"model\": {\"vocab\": {\"a\": 01}}}", "{\"a\": \"\xff\"}", "{\"a\": tru}", "{\"a\" 1}",
        "{\"a\": [}", "{\"a\": \"\\x\"}", "{1: 2}"}) {
    EXPECT_NE(problem(json), "") << json;
  }
  EXPECT_NE(problem("{\n\n\"model\": ]").find("tiny.json:3"), std::string::npos);
  EXPECT_NE(problem("{\"\\ud800\": 1}").find("surrogate"), std::string::npos);
  const std::string deep(1 << 20, '[');
  EXPECT_NE(problem("{\"normalizer\": " + deep).find("deeper than 64"), std::string::npos);
}

TEST(TokenizerJson, FileProblemsAreErrors) {
  EXPECT_THROW(Tokenizer::load("/no/such/tokenizer.json"), Error);
  EXPECT_THROW(Tokenizer::load("/"), Error);
  EXPECT_THROW(Tokenizer::load("/dev/zero"), Error);
}

TEST(TokenizerJson, BytesWithoutTokenAreAnErrorNotALoss) {
  Json json = tiny();
  json["model"]["unk_token"] = nullptr;
  const Tokenizer tokenizer = Tokenizer::parse(json.dump(), "tiny.json");
  EXPECT_THROW(tokenizer.encode("xyz"), Error);
  EXPECT_EQ(tokenizer.encode("ab"), std::vector<std::uint32_t>{8});
}

// 24,000 mutants; those that are taken must also encode and decode.
TEST(TokenizerJson, MutantsAreTakenOrRefusedNothingElse) {
  Json gpt2 = tiny();
  gpt2["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  gpt2["normalizer"] = nullptr;
  const std::string seeds[] = {tiny().dump(), tiny().dump(1), gpt2.dump()};
  const std::string text = "ab <é> cde1234 -- a\u0301b!? <|end|>\r\n\xff\xf0 eee";
  fuzz::Rng rng(2024);
  int taken = 0, refused = 0;
  for (int i = 0; i < 24000; ++i) {
    const std::string mutant = fuzz::mutate(seeds[i % 3], seeds[(i + 1) % 3], rng);
    try {
      const Tokenizer tokenizer = Tokenizer::parse(mutant, "mutant");
      ++taken;
      tokenizer.decode(tokenizer.encode(text));
    } catch (const Error& error) {
      ++refused;
      ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
  // Both ways are really walked.
  EXPECT_GT(taken, 1000);
  EXPECT_GT(refused, 3000);
}

}  // namespace
}  // namespace ingot

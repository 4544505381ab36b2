// Malformed and unsupported tokenizer.json: one Error that names what is wrong, never anything
// else.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

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

using Ids = std::vector<std::uint32_t>;

Ids ids_of(std::span<const std::uint32_t> ids) { return {ids.begin(), ids.end()}; }

// As published Llama-3 files have it: ByteLevel and a template in a Sequence.
TEST(TokenizerJson, ThePostProcessorSaysWhatStandsAroundAText) {
  Json json = tiny();
  const Json processor = Json::parse(R"({"type": "TemplateProcessing", "pair": [],
    "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "<é>", "type_id": 0}}],
    "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [0], "tokens": ["<|end|>"]},
                       "<é>": {"id": "<é>", "ids": [12, 7], "tokens": ["<é>", "ab"]}}})");
  Json sequence = Json::parse(
      R"({"type": "Sequence", "processors": [{"type": "ByteLevel", "trim_offsets": false}]})");
  sequence["processors"].push_back(processor);
  for (const Json& each : {processor, sequence}) {
    json["post_processor"] = each;
    const Tokenizer tokenizer = Tokenizer::parse(json.dump(), "tiny.json");
    EXPECT_EQ(ids_of(tokenizer.begin_ids()), (Ids{0}));
    EXPECT_EQ(ids_of(tokenizer.end_ids()), (Ids{12, 7}));
    EXPECT_EQ(tokenizer.encode("ab"), (Ids{8}));
    EXPECT_EQ(tokenizer.encode_prompt("ab"), (Ids{0, 8}));
    EXPECT_EQ(tokenizer.encode_prompt("<|end|>ab"), (Ids{0, 8}));  // no second one
    EXPECT_EQ(tokenizer.encode_prompt(""), (Ids{0}));
    // What decides the ids of a text has not changed: shards stay of this tokenizer.
    EXPECT_EQ(tokenizer.hash(), Tokenizer::parse(tiny().dump(), "tiny.json").hash());
  }
  json["post_processor"] =
      Json::parse(R"({"type": "RobertaProcessing", "cls": ["a", 1], "sep": ["b", 2]})");
  EXPECT_EQ(ids_of(Tokenizer::parse(json.dump(), "").begin_ids()), (Ids{1}));
  EXPECT_EQ(ids_of(Tokenizer::parse(json.dump(), "").end_ids()), (Ids{2}));
  EXPECT_TRUE(Tokenizer::parse(tiny().dump(), "").begin_ids().empty());

  const auto refused = [&](const char* part, const std::function<void(Json&)>& change) {
    Json bad = processor;
    change(bad);
    const std::string what = problem([&](Json& j) { j["post_processor"] = bad; });
    EXPECT_NE(what.find(part), std::string::npos) << part << " / " << what;
  };
  refused("\"Upside\" is not supported", [](Json& p) { p["type"] = "Upside"; });
  refused("\"special_tokens\" is missing", [](Json& p) { p.erase("special_tokens"); });
  refused("\"<é>\" is missing", [](Json& p) { p["special_tokens"].erase("<é>"); });
  refused("without the text", [](Json& p) { p["single"] = Json::array(); });
  refused("no token of id 99", [](Json& p) { p["special_tokens"]["<é>"]["ids"][0] = 99; });
  refused("not a natural number", [](Json& p) { p["special_tokens"]["<é>"]["ids"][0] = -1; });
}

// The ids are those of tokenizers 0.23.3. R strips behind itself.
TEST(TokenizerJson, AddedTokensOfWhiteSpaceGiveTheIdsOfHuggingFace) {
  struct Case {
    bool lstrip, rstrip;
    const char* content;
    const char* text;
    Ids expected;
  };
  const Case cases[] = {
      {true, true, "\n", "a\n\na", {1, 14, 1}},
      {true, true, "\n", "\n\n\n", {14}},
      {true, true, "\n", "a \n\n a", {1, 14, 1}},
      {true, false, "\n", "<R> \n", {13}},
      {false, false, "\n", "<R>\n\na", {13, 14, 14, 1}},
      {false, true, "\n", "<R>\n \n", {13, 14, 14}},
      {false, false, "\n\n", "<R> \n\na", {13, 14, 1}},
      {false, false, " a", "<R>  a", {13, 14}},
      {true, false, " a", "<R> ab", {13, 14, 2}},
  };
  for (const Case& each : cases) {
    Json json = tiny();
    json["pre_tokenizer"] = Json::parse(R"({"type": "ByteLevel", "add_prefix_space": false})");
    json["added_tokens"].push_back(
        Json::parse(R"({"id": 13, "content": "<R>", "rstrip": true, "normalized": false})"));
    Json token = Json::parse(R"({"id": 14, "normalized": false})");
    token["content"] = each.content;
    token["lstrip"] = each.lstrip;
    token["rstrip"] = each.rstrip;
    json["added_tokens"].push_back(token);
    EXPECT_EQ(Tokenizer::parse(json.dump(), "").encode(each.text), each.expected)
        << Json(each.content).dump() << " in " << Json(each.text).dump();
  }
}

// Speech models on Llama-3 have that many.
TEST(TokenizerJson, ManyAddedTokensAreReadInNoTime) {
  Json json = tiny();
  for (int i = 0; i < 65'000; ++i) {
    Json token = Json::parse(
        R"({"single_word": false, "lstrip": false, "rstrip": false, "special": false})");
    token["id"] = 13 + i;
    token["content"] = "<audio_" + std::to_string(i) + ">";
    token["normalized"] = i % 2 == 0;
    json["added_tokens"].push_back(std::move(token));
  }
  const std::string text = json.dump(2);
  EXPECT_GT(text.size(), 12'000'000u);
  const auto begin = std::chrono::steady_clock::now();
  const Tokenizer tokenizer = Tokenizer::parse(text, "many.json");
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(tokenizer.encode("<audio_64999>"), (Ids{65'012}));
  EXPECT_EQ(tokenizer.encode("<audio_2><audio_3>"), (Ids{15, 16}));
  // 0.1 s on an idle core; a search of all for each takes minutes.
  EXPECT_LT(seconds.count(), 3.0);
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

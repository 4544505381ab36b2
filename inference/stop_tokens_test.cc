#include "inference/stop_tokens.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace ingot {
namespace {

using Ids = std::vector<std::int64_t>;

// Two letters, and a token of its own at the end.
CompanionFiles files() {
  return {{"tokenizer.json",
           R"({"added_tokens": [{"id": 2, "content": "<end>", "special": true}],
               "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
               "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}})"}};
}

Ids stop(const CompanionFiles& files, const Ids& of_config) {
  ModelConfig model;
  model.eos_token_ids = of_config;
  return stop_tokens(files, model, Tokenizer::of(files, "model"), "model");
}

TEST(StopTokens, TheListOfGenerationConfigCountsFirst) {
  CompanionFiles with = files();
  with["generation_config.json"] = R"({"eos_token_id": [2, 0], "temperature": 0.6})";
  EXPECT_EQ(stop(with, {1}), (Ids{2, 0}));
  with["generation_config.json"] = R"({"eos_token_id": 2})";
  EXPECT_EQ(stop(with, {1}), (Ids{2}));
}

TEST(StopTokens, WithoutItThatOfConfigJsonThenTheTokenizers) {
  CompanionFiles with = files();
  EXPECT_EQ(stop(with, {1, 2}), (Ids{1, 2}));
  with["generation_config.json"] = R"({"eos_token_id": null, "top_p": NaN})";
  EXPECT_EQ(stop(with, {1}), (Ids{1}));
  EXPECT_EQ(stop(with, {}), Ids{});
  with["tokenizer_config.json"] = R"({"eos_token": {"content": "<end>", "lstrip": false}})";
  EXPECT_EQ(stop(with, {}), (Ids{2}));
}

TEST(StopTokens, WhatIsNoTokenIsRefusedWithItsFile) {
  CompanionFiles with = files();
  for (const char* text : {R"({"eos_token_id": "<end>"})", R"({"eos_token_id": [2, "b"]})", "[]"}) {
    with["generation_config.json"] = text;
    try {
      stop(with, {1});
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::data);
      EXPECT_EQ(error.where(), "model/generation_config.json");
    }
  }
}

}  // namespace
}  // namespace ingot

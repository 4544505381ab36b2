#include "engine/base/json_reader.h"

#include <gtest/gtest.h>

#include <string>

namespace ingot {
namespace {

std::string problem(std::string_view text, const JsonRules& rules = {}) {
  try {
    JsonReader reader(text, "f", ErrorCode::data, rules);
    reader.skip();
    reader.end();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(JsonReader, TakesValuesAsTheyComeAndKnowsTheLine) {
  JsonReader reader("{\"a\":\n[1, true, null, \"\\u00e9\\ud83d\\ude00\", -2.5],\n\"b\": {}}", "f");
  std::string key;
  reader.begin_object();
  ASSERT_TRUE(reader.next_key(key));
  EXPECT_EQ(key, "a");
  reader.begin_array();
  ASSERT_TRUE(reader.next_element());
  EXPECT_EQ(reader.unsigned_integer(), 1u);
  EXPECT_EQ(reader.line(), 2);
  ASSERT_TRUE(reader.next_element());
  EXPECT_TRUE(reader.boolean());
  ASSERT_TRUE(reader.next_element());
  reader.null();
  ASSERT_TRUE(reader.next_element());
  EXPECT_EQ(reader.string(), "\u00e9\U0001F600");
  ASSERT_TRUE(reader.next_element());
  EXPECT_EQ(std::get<double>(reader.number()), -2.5);
  EXPECT_FALSE(reader.next_element());
  ASSERT_TRUE(reader.next_key(key));
  reader.begin_object();
  EXPECT_FALSE(reader.next_key(key));
  EXPECT_FALSE(reader.next_key(key));
  reader.end();
  EXPECT_EQ(reader.line(), 3);
}

TEST(JsonReader, AReaderOfOneValueKeepsTheLine) {
  JsonReader reader("{\"a\":\n[1,\nx], \"b\": 2}", "f");
  std::string key;
  reader.begin_object();
  reader.next_key(key);
  try {
    reader.value();
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(
        error.what(),
        "not valid JSON: not a value (f:3): the file is damaged or is not what its name says");
  }
  JsonReader good("{\"a\":\n[7], \"b\": 2}", "f");
  good.begin_object();
  good.next_key(key);
  JsonReader part = good.value();
  part.begin_array();
  ASSERT_TRUE(part.next_element());
  EXPECT_EQ(part.unsigned_integer(), 7u);
  EXPECT_EQ(part.line(), 2);
  EXPECT_FALSE(part.next_element());
  part.end();
  ASSERT_TRUE(good.next_key(key));
  EXPECT_EQ(key, "b");
}

TEST(JsonReader, WhatIsSkippedIsChecked) {
  for (const char* good : {"1", "-0.5e+3", "[]", "{}", "[[], {}, [{}]]",
                           "{\"a\": [1, {\"b\": null}]}", "\"\\\"\\\\\"", " true "}) {
    EXPECT_EQ(problem(good), "") << good;
  }
  for (const char* bad :
       {"",         "[1 2]",       "[1,]", "{\"a\" 1}", "{\"a\": 1,}", "{1: 2}",  "[}",
        "{]",       "[",           "nul",  "01",        "1.",          "\"\\x\"", "\"a",
        "\"\xff\"", "\"\\ud800\"", "NaN",  "Infinity",  "-Infinity",   "[] x"}) {
    EXPECT_NE(problem(bad), "") << bad;
  }
  const std::string deep(1 << 20, '[');
  EXPECT_EQ(problem(deep), "nested deeper than 64 levels (f:1)");
}

TEST(JsonReader, RulesLetMorePass) {
  EXPECT_EQ(problem("[NaN, Infinity, -Infinity]", {.python_numbers = true}), "");
  EXPECT_NE(problem("[Nan]", {.python_numbers = true}), "");
  const std::string bytes = "\"a\xff\t\\ud800\"";
  JsonReader reader(bytes, "f", ErrorCode::data, {.any_bytes = true});
  EXPECT_EQ(reader.string(), "a\xff\t\uFFFD");
  EXPECT_EQ(problem(std::string(100, '[') + std::string(100, ']'), {.depth = 100}), "");
}

}  // namespace
}  // namespace ingot

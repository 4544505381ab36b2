#include "engine/base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

namespace ingot {
namespace {

const std::string kDamaged = ": the file is damaged or is not what its name says";

std::string message(std::string_view text, const JsonLimits& limits = {}) {
  try {
    parse_json(text, "file.json", ErrorCode::data, limits);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::data);
    return error.what();
  }
  return "";
}

TEST(Json, KnowsTheLineOfEveryValue) {
  JsonLines lines;
  const auto json = parse_json(
      "{\n"
      " \"a\": 1\n"
      ",\"b\": {\n"
      "  \"c/~\": [10,\n"
      "   20\n"
      "  ,\"x\"]},\n"
      " \"d\":\n"
      "   true}",
      "f", ErrorCode::data, {}, &lines);
  EXPECT_EQ(json["b"]["c/~"][1], 20);
  EXPECT_EQ(lines.line_of(""), 1);
  EXPECT_EQ(lines.line_of("/a"), 2);
  EXPECT_EQ(lines.line_of("/b"), 3);
  EXPECT_EQ(lines.line_of("/b/c~1~0"), 4);
  EXPECT_EQ(lines.line_of("/b/c~1~0/0"), 4);
  EXPECT_EQ(lines.line_of("/b/c~1~0/1"), 5);
  EXPECT_EQ(lines.line_of("/b/c~1~0/2"), 6);
  EXPECT_EQ(lines.line_of("/d"), 7);  // where the key stands
  EXPECT_EQ(lines.line_of("/b/not/there"), 3);
}

TEST(Json, BuildsWhatNlohmannBuilds) {
  for (const char* text :
       {"null", "[]", "{}", "[[],{},[{}]]", "[1,-2,3.5,1e300,18446744073709551615,-0,-0.0,1e-999]",
        "[-9223372036854775808]", "[18446744073709551616,-9223372036854775809,0.1,1E+2]",
        R"({"a":{"b":[{"c":null},"\u00e9\ud83d\ude00"]},"":true})", " \"text\" "}) {
    EXPECT_EQ(parse_json(text, "f", ErrorCode::data), nlohmann::json::parse(text)) << text;
  }
}

TEST(Json, NamesLineAndTroubleOfBadText) {
  EXPECT_EQ(message("{\"a\": 1,\n}"), "not valid JSON: a key is missing (file.json:2)" + kDamaged);
  EXPECT_EQ(message("{\"a\":\n tru}"), "not valid JSON: not a value (file.json:2)" + kDamaged);
  EXPECT_EQ(message(""), "not valid JSON: the text ends too early (file.json:1)" + kDamaged);
  for (const char* text :
       {"[1 2]", "{\"a\" 1}", "[1]x", "\"\xff\"", "1e999", "'a'", "// c\n1", "{} {}", "[01]",
        "[\"\t\"]", "[1.]", "[.5]", "[+1]", "[\"\\ud800\"]", "[NaN]", "[-Infinity]"}) {
    EXPECT_NE(message(text), "") << text;
  }
}

TEST(Json, RefusesAKeyGivenTwice) {
  EXPECT_EQ(message("{\"a\": {\"b\": 1,\n\"b\": 2}}"),
            "key \"b\" is given twice (file.json:2): remove one of them");
  JsonLines lines;
  const auto json = parse_json("{\"a\": {\"b\": 1,\n\"b\": 2}}", "f", ErrorCode::data, {}, &lines);
  EXPECT_EQ(json["a"]["b"], 2);
  ASSERT_EQ(lines.duplicates.size(), 1u);
  EXPECT_EQ(lines.duplicates[0].pointer, "/a/b");
  EXPECT_EQ(lines.duplicates[0].first_line, 1);
  EXPECT_EQ(lines.duplicates[0].line, 2);
}

TEST(Json, BoundsDepthAndSize) {
  const std::string deep = std::string(64, '[') + std::string(64, ']');
  EXPECT_EQ(message(deep), "");
  EXPECT_EQ(message("[" + deep + "]"), "nested deeper than 64 levels (file.json:1)");
  EXPECT_EQ(message(std::string(1'000'000, '[')), "nested deeper than 64 levels (file.json:1)");
  EXPECT_EQ(message("[1,2]", {.bytes = 4}), "larger than 4 bytes (file.json)");
  EXPECT_EQ(message("[[1]]", {.depth = 2}), "");
  EXPECT_EQ(message("[[[1]]]", {.depth = 2}), "nested deeper than 2 levels (file.json:1)");
  EXPECT_EQ(message("[1,\n2,\n3]", {.values = 4}), "");
  EXPECT_EQ(message("[1,\n2,\n3]", {.values = 3}), "holds more than 3 values (file.json:3)");
}

TEST(Json, AZeroByteIsNotTheEnd) {
  EXPECT_NE(message(std::string("{}\0}", 4)), "");
  EXPECT_NE(message(std::string("{}\0", 3)), "");
}

// `json.dump` of Python writes them unless told not to.
TEST(Json, NumbersOfPythonAreReadWhereAskedFor) {
  const auto json =
      parse_json("[NaN, Infinity, -Infinity, -1]", "f", ErrorCode::data, {.python_numbers = true});
  EXPECT_TRUE(std::isnan(json[0].get<double>()));
  EXPECT_EQ(json[1], std::numeric_limits<double>::infinity());
  EXPECT_EQ(json[2], -std::numeric_limits<double>::infinity());
  EXPECT_EQ(json[3], -1);
  EXPECT_EQ(message("[1, Infinit]", {.python_numbers = true}),
            "not valid JSON: not a value (file.json:1)" + kDamaged);
}

TEST(Json, AByteOrderMarkIsSkipped) {
  EXPECT_EQ(parse_json("\xEF\xBB\xBF{\"a\": 1}", "f", ErrorCode::data)["a"], 1);
  EXPECT_NE(message("\xEF\xBB\xBF"), "");
}

TEST(Json, ReadsFilesOnlyWithinTheLimit) {
  const auto folder = std::filesystem::path(testing::TempDir());
  const auto write = [&](const char* name, const std::string& text) {
    std::ofstream(folder / name) << text;
    return folder / name;
  };
  EXPECT_EQ(read_json(write("good.json", "[1]"), ErrorCode::data)[0], 1);
  EXPECT_THROW(read_json(write("long.json", "[1, 2]"), ErrorCode::data, {.bytes = 5}), Error);
  EXPECT_EQ(read_json(write("fits.json", "[1,2]"), ErrorCode::data, {.bytes = 5})[1], 2);
  EXPECT_THROW(read_json(folder / "missing.json", ErrorCode::data), Error);
  EXPECT_THROW(read_json(folder, ErrorCode::data), Error);       // a folder
  EXPECT_THROW(read_json("/dev/zero", ErrorCode::data), Error);  // would never end
}

}  // namespace
}  // namespace ingot

#include "data/prepare/tokenize_command.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/base/error.h"
#include "io/compressed_testing.h"

namespace ingot {
namespace {

const std::string kTokenizer = "data/tokenizer/testdata/deepseek_v3.json";

std::string run(TokenizeOptions options) {
  options.tokenizer = kTokenizer;
  std::ostringstream out;
  EXPECT_EQ(tokenize_command(options, out), 0);
  return out.str();
}

std::string write_file(const std::string& name, const std::string& content) {
  const std::string path = testing::TempDir() + name;
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

TEST(TokenizeCommand, TextToIdsAndBack) {
  const std::string ids = run({.text = "Hello world, 中文 \xff"});
  EXPECT_EQ(ids.find_first_not_of("0123456789 \n"), std::string::npos);
  EXPECT_EQ(run({.text = ids, .decode = true}), "Hello world, 中文 \xff");
  const std::string json = run({.text = "Hello", .json = true});
  EXPECT_TRUE(nlohmann::json::parse(json).at("ids").is_array());
  EXPECT_EQ(nlohmann::json::parse(run({.text = json, .decode = true, .json = true})).at("text"),
            "Hello");
  EXPECT_EQ(run({.text = ""}), "\n");
  EXPECT_EQ(run({.text = "", .decode = true}), "");
}

TEST(TokenizeCommand, FileIsOneText) {
  const std::string text = "line one\r\nline two\n\n";
  const std::string ids = run({.input = write_file("text.txt", text)});
  EXPECT_EQ(run({.input = write_file("ids.txt", ids), .decode = true}), text);
}

TEST(TokenizeCommand, JsonLinesGiveOneObjectEach) {
  const std::string lines =
      run({.input = write_file("in.jsonl", "{\"id\": [1], \"text\": \"a\\nb\"}\n\n\"bare\"\n")});
  const std::size_t end = lines.find('\n');
  EXPECT_EQ(lines.substr(0, end + 1), run({.text = "a\nb", .json = true}));
  EXPECT_EQ(lines.substr(end + 1), run({.text = "bare", .json = true}));
  EXPECT_EQ(run({.input = write_file("back.jsonl", lines), .decode = true}),
            "{\"text\": \"a\\nb\"}\n{\"text\": \"bare\"}\n");
  EXPECT_EQ(run({.input = write_file("field.jsonl", "{\"body\": \"a\"}"), .field = "body"}),
            run({.text = "a", .json = true}));
}

TEST(TokenizeCommand, AFileIsTakenForWhatPrepareTakesItFor) {
  const std::string expected = run({.text = "a", .json = true});
  const std::string line = "{\"text\": \"a\", \"score\": NaN}\n";
  EXPECT_EQ(run({.input = write_file("in.ndjson", line)}), expected);
  EXPECT_EQ(run({.input = write_file("in.JSONL", "\xEF\xBB\xBF" + line)}), expected);
  EXPECT_EQ(run({.input = write_file("lines.json", line)}), expected);
  EXPECT_EQ(run({.input = write_file("array.json", "[\n" + line + "]")}), expected);
  EXPECT_EQ(run({.input = write_file("in.jsonl.gz", gzipped(line))}), expected);
  EXPECT_EQ(run({.input = write_file("bom.txt",
                                     "\xEF\xBB\xBF"
                                     "a")}),
            run({.text = "a"}));
  EXPECT_EQ(run({.input = write_file("back.ndjson", expected), .decode = true}),
            "{\"text\": \"a\"}\n");
}

TEST(TokenizeCommand, SpecialShowsWhatStandsAroundAText) {
  std::ifstream file(kTokenizer);
  nlohmann::json json = nlohmann::json::parse(file);
  json["post_processor"] =
      nlohmann::json::parse(R"({"type": "RobertaProcessing", "cls": ["x", 7], "sep": ["y", 9]})");
  TokenizeOptions options{.tokenizer = write_file("around.json", json.dump()), .text = "a"};
  std::ostringstream plain, special;
  tokenize_command(options, plain);
  options.special = true;
  tokenize_command(options, special);
  EXPECT_EQ(special.str(), "7 " + plain.str().substr(0, plain.str().size() - 1) + " 9\n");
}

TEST(TokenizeCommand, MistakesAreNamedWithTheirPlace) {
  const auto error = [](const TokenizeOptions& options) -> std::string {
    try {
      run(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_NE(error({}).find("--input and --text"), std::string::npos);
  EXPECT_NE(error({.input = "/no/such/file"}).find("/no/such/file"), std::string::npos);
  EXPECT_NE(error({.input = "/no"}).find("cannot read"), std::string::npos);
  EXPECT_NE(error({.text = "1 two", .decode = true}).find("'two'"), std::string::npos);
  EXPECT_NE(error({.text = "999999", .decode = true}).find("999999"), std::string::npos);
  EXPECT_NE(error({.input = write_file("bad.jsonl", "\"ok\"\n{\"txt\": 1}\n")}).find("bad.jsonl:2"),
            std::string::npos);
}

}  // namespace
}  // namespace ingot

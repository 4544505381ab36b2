#include "data/prepare/text_probe.h"

#include <gtest/gtest.h>

#include <string>

namespace ingot {
namespace {

std::string kind_of(const std::string& block) {
  const BinaryKind kind = binary_kind(block);
  return kind.name ? kind.name : "";
}

TEST(BinaryKind, KnownFormatsAreNamed) {
  const std::string zeros(64, '\0');
  EXPECT_EQ(kind_of("PAR1\x15\x04" + zeros), "Parquet file");
  EXPECT_EQ(kind_of("ARROW1" + zeros), "Arrow file");
  EXPECT_EQ(kind_of("BZh91AY&SY\xff\xfe\x80\x81\x82"), "bzip2 file");
  EXPECT_EQ(kind_of("PK\x03\x04" + zeros), "zip archive (or a .docx, .xlsx or .npz)");
  EXPECT_EQ(kind_of("%PDF-1.7\nlooks like text"), "PDF file");
  EXPECT_EQ(kind_of(std::string(257, 'n') + "ustar  "), "tar archive");
  EXPECT_EQ(kind_of(std::string("\xff\xfe") + "a\0b\0" + zeros), "UTF-16 text");
  EXPECT_NE(kind_of(std::string("a\0b", 3)).find("NUL"), std::string::npos);
}

TEST(BinaryKind, TextsThatBeginAlikeAreTexts) {
  for (const char* text :
       {"ORCHESTRA", "BZhang wrote:", "PAR1 is a format", "", "plain", "\xff latin"}) {
    EXPECT_EQ(kind_of(text), "") << text;
  }
}

TEST(JsonKind, TellsLinesArraysAndSpreadObjectsApart) {
  const auto kind = [](std::string_view text) {
    const JsonKind k = json_kind(text, "text");
    return std::string(k.objects ? "o" : "") + (k.has_field ? "f" : "") + (k.spread ? "s" : "");
  };
  EXPECT_EQ(kind("{\"text\": \"a\"}\n{\"text\": \"b\"}\n"), "of");
  EXPECT_EQ(kind("{\"text\": \"a\"}"), "of");
  EXPECT_EQ(kind("\xEF\xBB\xBF \n{\"text\": null}\r\n{"), "of");
  EXPECT_EQ(kind("[{\"text\": \"a\"}, {\"text\""), "ofs");
  EXPECT_EQ(kind("[\n  {\n \"text\": \"a\"}"), "ofs");
  EXPECT_EQ(kind("{\n \"text\": \"a\"\n}\n"), "ofs");
  EXPECT_EQ(kind("{\"text\": \"a\"} {\"text\": \"b\"}"), "ofs");
  EXPECT_EQ(kind("{\"name\": \"package\"}"), "o");
  EXPECT_EQ(kind("{\"text\": 5}"), "o");
  EXPECT_EQ(kind("{\"text\": \"cut by the bl"), "of");
  EXPECT_EQ(kind("{\"text\": \"a\"\n{\"text\": \"b\"}"), "of");  // malformed: an error of its line
  for (const char* text : {"", " \n", "[", "[1, 2]", "text", "[[{\"text\": \"a\"}]]"}) {
    EXPECT_EQ(kind(text), "") << text;
  }
}

TEST(TextEnding, IsLowerCaseAndNotTheCompression) {
  EXPECT_EQ(text_ending("a/B.JSONL"), "jsonl");
  EXPECT_EQ(text_ending("a.ndjson.GZ"), "ndjson");
  EXPECT_EQ(text_ending("c4.json.zst"), "json");
  EXPECT_EQ(text_ending("a.b/README"), "");
}

}  // namespace
}  // namespace ingot

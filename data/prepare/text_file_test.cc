#include "data/prepare/text_file.h"

#include <algorithm>
#include <random>

#include "io/compressed_testing.h"
#include "io/test_folder.h"

namespace ingot {
namespace {

std::string as_lines(std::string json) {
  JsonLineMaker maker;
  maker.map(json);
  return json;
}

TEST(JsonLineMaker, PutsEachValueOnALineOfItsOwn) {
  EXPECT_EQ(as_lines("[{\"a\": [1, 2]},\n {\"b\":\n {}}]\n"),
            " {\"a\": [1, 2]}\n  {\"b\":  {}}\n ");
  EXPECT_EQ(as_lines("{\n\"a\": 1}\n{\r\n\"a\": 2}"), "{ \"a\": 1}\n{  \"a\": 2}");
  EXPECT_EQ(as_lines("{\"a\": 1}\n{\"a\": 2}\n"), "{\"a\": 1}\n{\"a\": 2}\n");
  EXPECT_EQ(as_lines("\xEF\xBB\xBF[{\"a\": 1}]"), "\xEF\xBB\xBF {\"a\": 1}\n");
}

TEST(JsonLineMaker, BracketsInStringsAreText) {
  EXPECT_EQ(as_lines(R"([{"a": "]},\"{["},{"b": "\\"}])"),
            " {\"a\": \"]},\\\"{[\"}\n{\"b\": \"\\\\\"}\n");
}

TEST(JsonLineMaker, WherePiecesEndDoesNotMatter) {
  const std::string json = "[{\"a\\\"\": \"x\\\\\", \"b\": [\n{}, \"]\"]}, {\"c\": 1}\n]";
  const std::string whole = as_lines(json);
  for (std::size_t cut = 0; cut < json.size(); ++cut) {
    std::string text = json;
    JsonLineMaker maker;
    maker.map(std::span(text).first(cut));
    maker.map(std::span(text).subspan(cut));
    EXPECT_EQ(text, whole);
  }
}

// Every way to store a text gives the same bytes at every offset, forward and back.
TEST(TextBytes, AnyOffsetOfAnyKindOfFileIsTheText) {
  TestFolder folder;
  std::string text;
  for (int i = 0; text.size() < 2'500'000; ++i) text += std::to_string(i * 7) + " ";
  put_file(folder / "plain", text);
  put_file(folder / "gz", gzipped(text));
  put_file(folder / "zst", zstd_compressed(text));
  const TextFile files[] = {
      {.path = folder / "plain"},
      {.path = folder / "plain", .spread = true},  // no brackets: nothing to change
      {.path = folder / "gz", .compression = Compression::gzip},
      {.path = folder / "zst", .compression = Compression::zstd}};
  for (const TextFile& file : files) {
    TextBytes bytes(file);
    std::mt19937 random(1);
    std::uint64_t offset = 0;
    for (int i = 0; i < 60; ++i) {
      std::string buffer(1 + random() % 300'000, '\0');
      const std::size_t count = bytes.read_at(offset, buffer);
      ASSERT_EQ(count, offset < text.size() ? std::min(buffer.size(), text.size() - offset) : 0u);
      ASSERT_TRUE(buffer.substr(0, count) == text.substr(std::min(offset, text.size()), count));
      // On, a little back, or anywhere.
      offset = i % 10 == 9 ? random() % (text.size() + 1000) : offset + count - count / (1 + i % 3);
    }
  }
}

}  // namespace
}  // namespace ingot

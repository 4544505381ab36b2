#include "data/tokenizer/normalizer.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdlib>

#include "data/tokenizer/code_point_set.h"
#include "engine/base/utf8.h"
#include "tests/fuzz/mutate.h"

namespace ingot {
namespace {

std::string nfc(std::string_view text) {
  std::string buffer;
  return std::string(normalize(Normalization::nfc, text, buffer));
}

// The whole text at once.
std::string plain_nfc(const std::string& text) {
  utf8proc_uint8_t* mapped = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
  const std::string result(reinterpret_cast<const char*>(mapped));
  std::free(mapped);
  return result;
}

TEST(Normalizer, ComposesAcrossAsciiAndKeepsTheRest) {
  EXPECT_EQ(nfc("cafe\u0301 ok"), "caf\u00e9 ok");
  EXPECT_EQ(nfc("\u0301a"), "\u0301a");
  EXPECT_EQ(nfc("\u1100\u1161\u11a8"), "\uac01");
  EXPECT_EQ(nfc("\u212b"), "\u00c5");
  EXPECT_EQ(nfc("a\u0323\u0302"), nfc("a\u0302\u0323"));
  EXPECT_EQ(nfc(""), "");
  EXPECT_EQ(nfc(std::string("a\0e\u0301", 5)), std::string("a\0\u00e9", 4));
}

TEST(Normalizer, LeavesAloneWhatHuggingFaceDoesNotKnow) {
  EXPECT_EQ(nfc("a\u1acd\u0323"), "a\u1acd\u0323");  // Unicode 14: class 230 would go behind 220
  EXPECT_EQ(nfc("a\u1acd\u0301\u0323e\u0301"), "a\u1acd\u0323\u0301\u00e9");
  EXPECT_EQ(nfc("\U00011935\U00011930"), "\U00011935\U00011930");
  EXPECT_EQ(nfc("\u07fd"), "\u07fd");
  EXPECT_EQ(nfc("\ud248\u11a7"), "\ud248\u11a7");  // no final consonant: nothing to compose
  EXPECT_EQ(nfc("\u1100\u1161\u11a7\u0301"), "\uac00\u11a7\u0301");
}

// The library orders marks by class: 220 before 230. Whatever mark it knows and Unicode 9 did not
// must stay where it is, and hold those behind it there.
TEST(Normalizer, NoYoungMarkMoves) {
  int young = 0;
  for (const auto& range : younger_than_unicode_9().ranges()) {
    for (char32_t c = range.first; c <= range.last; ++c) {
      if (utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class == 0) continue;
      ++young;
      for (const char32_t other : {U'\u0301', U'\u0323', U'\u0334'}) {
        std::string text = "a";
        append_utf8(other == U'\u0334' ? U'\u0301' : other, text), append_utf8(c, text),
            append_utf8(other, text);
        const std::string composed = other == U'\u0323' ? "\u1ea1" : "\u00e1";
        std::string expected = composed;
        append_utf8(c, expected), append_utf8(other, expected);
        EXPECT_EQ(nfc(text), expected) << static_cast<unsigned>(c);
      }
    }
  }
  EXPECT_GT(young, 100);  // of Unicode 10 to 15
}

TEST(Normalizer, NoneAndAsciiAreTheSameView) {
  std::string buffer;
  const std::string_view decomposed = "e\u0301", ascii = "plain";
  EXPECT_EQ(normalize(Normalization::none, decomposed, buffer).data(), decomposed.data());
  EXPECT_EQ(normalize(Normalization::nfc, ascii, buffer).data(), ascii.data());
}

TEST(Normalizer, PartsGiveWhatTheWholeGives) {
  static constexpr char32_t kCharacters[] = {'a',    'e',    ' ',    0xE9,   0x301,  0x323,
                                             0x302,  0x1100, 0x1161, 0x11A8, 0xAC00, 0x4E2D,
                                             0x212B, 0x1E9B, 0x9C7,  0x9BE,  0x1F600};
  fuzz::Rng rng(5);
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (std::size_t n = rng.below(20); n > 0; --n)
      append_utf8(kCharacters[rng.below(std::size(kCharacters))], text);
    ASSERT_EQ(nfc(text), plain_nfc(text)) << testing::PrintToString(text);
  }
  std::string large;  // several blocks without ASCII
  while (large.size() < 300000)
    append_utf8(kCharacters[3 + rng.below(std::size(kCharacters) - 3)], large);
  EXPECT_EQ(nfc(large), plain_nfc(large));
}

}  // namespace
}  // namespace ingot

#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokenizer/code_point_set.h"

#include <gtest/gtest.h>
#include <pcre2.h>

#include <string>

#include "engine/base/utf8.h"

namespace ingot {
namespace {

TEST(CodePointSet, AddsJoinsAndTakesAway) {
  CodePointSet set{{'a', 'c'}, {'d', 'd'}, {0x10000, 0x10FFFF}};
  EXPECT_EQ(set.size(), 4u + 0x100000);
  ASSERT_EQ(set.ranges().size(), 2u);
  EXPECT_EQ(set.ranges()[0].last, U'd');
  EXPECT_TRUE(set.contains(0x10FFFF));
  EXPECT_EQ((~set).size(), 0x110000 - set.size());
  EXPECT_TRUE(~~set == set);
  EXPECT_EQ((set - CodePointSet{{'b', 'b'}}).ranges().size(), 3u);
  set &= CodePointSet{{'c', 0xFFFF}};
  EXPECT_EQ(set.size(), 2u);
}

TEST(CodePointSet, KnowsPropertiesByTheirNames) {
  for (const char* name : {"Lu", "uppercase_letter", "Uppercase Letter", "LU"}) {
    EXPECT_TRUE(property_named(name)->contains('A')) << name;
    EXPECT_FALSE(property_named(name)->contains('a')) << name;
  }
  EXPECT_EQ(property_named("L&")->size(), property_named("LC")->size());
  EXPECT_TRUE(property_named("Hani")->contains(0x4E2D));
  EXPECT_TRUE(property_named("Han")->contains(0x3005));
  EXPECT_FALSE(property_named("Han")->contains(0x3001));  // shared, of no script
  EXPECT_TRUE(property_named("So")->contains(0x1FAE9));   // Unicode 16
  EXPECT_EQ(property_named("Any")->size(), 0x110000u);
  EXPECT_FALSE(property_named("Emoji"));
  EXPECT_FALSE(property_named(""));
  std::size_t all = 0;
  for (int i = 0; i < kCategories; ++i) all += code_points_of_category(i).size();
  EXPECT_EQ(all, 0x110000u);  // each in one
}

// What PCRE2 takes for a category; "\\p{L}" and its like, without translation.
CodePointSet in_pcre2(std::string_view category) {
  const std::string pattern = "\\p{" + std::string(category) + "}+";
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  CodePointSet set;
  std::string text;
  for (char32_t c = 0; c < 0x110000; c += c == 0xD7FF ? 0x801 : 1) append_utf8(c, text);
  for (std::size_t from = 0;;) {
    if (pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                    PCRE2_NO_UTF_CHECK, data, nullptr) < 0) {
      break;
    }
    const std::size_t end = pcre2_get_ovector_pointer(data)[1];
    for (std::size_t at = pcre2_get_ovector_pointer(data)[0]; at < end;) {
      const CodePoint c = decode_valid(&text[at]);
      set.add(c.value);
      at += static_cast<std::size_t>(c.size);
    }
    from = end;
  }
  pcre2_match_data_free(data);
  pcre2_code_free(code);
  return set;
}

// The tables against another's of an older version (Unicode 14 in Debian 12): what it has assigned
// is of the same category here, but for the one that Unicode itself has changed since.
TEST(CodePointSet, CategoriesAreThoseOfPcre2WhereItKnowsTheCharacter) {
  const CodePointSet skipped = in_pcre2("Cn");
  EXPECT_LT(skipped.size(), 900'000u);
  for (int i = 1; i < kCategories; ++i) {
    if (category_name(i) == "Cs") continue;
    CodePointSet ours = code_points_of_category(i) - skipped, theirs = in_pcre2(category_name(i));
    ours.add(0x1171E), theirs.add(0x1171E);  // Mn, in Unicode 14 Mc
    EXPECT_TRUE(ours == theirs) << category_name(i);
  }
}

}  // namespace
}  // namespace ingot

#include "data/tokenizer/pretokenizer.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "data/tokenizer/code_point_set.h"
#include "data/tokenizer/pretokenizer_unicode.h"
#include "engine/base/error.h"
#include "tests/fuzz/mutate.h"

namespace ingot {
namespace {

using Pieces = std::vector<std::string>;

Pieces split(const PreTokenizer& pre_tokenizer, std::string_view text) {
  static PreTokenizer::Scratch scratch;
  Pieces pieces;
  pre_tokenizer.split(text, scratch,
                      [&pieces](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

PreTokenizer one_step(SplitStep step) {
  return PreTokenizer({std::move(step), {.kind = SplitStep::Kind::byte_level}}, "test");
}

// ---- The scanners against PCRE2 -----------------------------------------------------------

std::vector<std::string> alphabet() {
  std::vector<std::string> characters;
  const auto add = [&characters](char32_t c) {
    if (c >= 0xD800 && c < 0xE000) return;
    append_utf8(c, characters.emplace_back());
  };
  for (char32_t c = 0; c < 0x250; ++c) add(c);
  // Edges of the Han and kana ranges, spaces, joiners, marks, digits and letters of many kinds.
  for (const char32_t c : std::u32string(
           U"\u2000\u200a\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u3000\u1680\u180e\ufeff"
           U"\u0301\u0345\u0483\u20dd\u0903\u3040\u3041\u3096\u3099\u309b\u309f\u30a0\u30a1"
           U"\u30fb\u30fc\u30ff\u3100\u4dff\u4e00\u4e2d\u9fa5\u9fa6\u0660\u0966\u2160\u00b2"
           U"\u3007\u017f\u212a\u00df\u0130\u01c5\u02b0\u05d0\u0e01\uac00\ud7a3\u1100\uff11"
           U"\uff21\u20ac\u2603\u2212\uff01\ue000\uffff\ufffd\U0001f600\U0001f3fd\U0001d7d8"
           U"\U00020000\U000e0001\U0010ffff\U00010400")) {
    add(c);
  }
  return characters;
}

// Short parts that make the alternatives of the expressions meet each other.
const std::vector<std::string> kParts = {
    "'s",  "'S",  "'ll",  "'LL",  "'Re", "'ve", "'d",        "'M",   "'ſ",   "'",      " '", "  ",
    "   ", "\n",  "\r\n", "\n\n", " \n", "\t",  "abc",       "Word", "123",  "1",      "..", "!?",
    " .",  "\n.", "中文", "カナ", "é",   "é",   "123456789", "__",   " \t ", "\u00a0", "x"};

std::string random_text(const std::vector<std::string>& characters, fuzz::Rng& rng) {
  std::string text;
  for (std::size_t i = 1 + rng.below(24); i > 0; --i) {
    const std::size_t choice = rng.below(4);
    if (choice == 0) {
      text += characters[rng.below(characters.size())];
    } else if (choice == 1) {
      text += static_cast<char>(rng.below(128));
    } else {
      text += kParts[rng.below(kParts.size())];
    }
  }
  return text;
}

class Scanner : public testing::TestWithParam<const char*> {
 protected:
  static std::vector<SplitStep> steps() {
    const std::string_view name = GetParam();
    if (name == "gpt2") return gpt2_split_steps();
    if (name == "deepseek_v3") return deepseek_v3_split_steps();
    return llama3_split_steps(name == "qwen2" ? 1 : 3);
  }
};

TEST_P(Scanner, CutsLikePcre2) {
  const PreTokenizer scanner(steps(), "test");
  const PreTokenizer pcre2(steps(), "test", false);
  const std::vector<std::string> characters = alphabet();
  ASSERT_GT(characters.size(), 600u);
  fuzz::Rng rng(11);
  for (int i = 0; i < 100000; ++i) {
    const std::string text = random_text(characters, rng);
    ASSERT_EQ(split(scanner, text), split(pcre2, text)) << testing::PrintToString(text);
  }
}

TEST_P(Scanner, CutsEveryPairAndTripleOfKindsLikePcre2) {
  const PreTokenizer scanner(steps(), "test");
  const PreTokenizer pcre2(steps(), "test", false);
  const std::vector<std::string> kinds = {
      "a",      "Z",  "s",  "'", "1",      " ",      "\n",   "\r",     "\t", ".", "+", "é",
      "\u0301", "中", "ア", "٣", "\u00a0", "\u2028", "\x01", "\u200d", "😀",  "ſ", "゙",  "・"};
  for (const std::string& a : kinds) {
    for (const std::string& b : kinds) {
      for (const std::string& c : kinds) {
        for (const std::string& text : {a + b + c, a + a + b + b + c, a + b + c + b + a}) {
          ASSERT_EQ(split(scanner, text), split(pcre2, text)) << testing::PrintToString(text);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(PreTokenizer, Scanner,
                         testing::Values("gpt2", "qwen2", "llama3", "deepseek_v3"));

// ---- Behaviours, as Hugging Face's tokenizers has them ---------------------------------------

TEST(PreTokenizer, BehavioursJoinMatchesAndGaps) {
  const auto pieces = [](SplitBehavior behavior, bool invert) {
    return split(one_step({.pattern = "-", .behavior = behavior, .invert = invert}),
                 "the-final--countdown-");
  };
  EXPECT_EQ(pieces(SplitBehavior::removed, false), (Pieces{"the", "final", "countdown"}));
  EXPECT_EQ(pieces(SplitBehavior::isolated, false),
            (Pieces{"the", "-", "final", "-", "-", "countdown", "-"}));
  EXPECT_EQ(pieces(SplitBehavior::merged_with_previous, false),
            (Pieces{"the-", "final-", "-", "countdown-"}));
  EXPECT_EQ(pieces(SplitBehavior::merged_with_next, false),
            (Pieces{"the", "-final", "-", "-countdown", "-"}));
  EXPECT_EQ(pieces(SplitBehavior::contiguous, false),
            (Pieces{"the", "-", "final", "--", "countdown", "-"}));
  EXPECT_EQ(pieces(SplitBehavior::removed, true), (Pieces{"-", "-", "-", "-"}));
}

TEST(PreTokenizer, EmptyMatchesAndLookaroundsKeepTheText) {
  for (const char* pattern : {"x*", "(?=b)", "(?<=a)", "\\b", "$", "^"}) {
    for (const char* text : {"aabxxb", "中b文a", "b\nb\n", ""}) {
      std::string joined;
      for (const std::string& piece : split(one_step({.pattern = pattern}), text)) joined += piece;
      EXPECT_EQ(joined, text) << pattern;
    }
  }
  EXPECT_EQ(split(one_step({.pattern = "(?=b)"}), "aabab"), (Pieces{"aa", "ba", "b"}));
}

TEST(PreTokenizer, LiteralPatternsAreNoRegex) {
  EXPECT_EQ(split(one_step({.kind = SplitStep::Kind::literal, .pattern = "."}), "a.b"),
            (Pieces{"a", ".", "b"}));
}

TEST(PreTokenizer, RefusesStepsThatAreNotByteLevel) {
  EXPECT_THROW(PreTokenizer({}, "test"), Error);
  EXPECT_THROW(PreTokenizer({{.pattern = "a"}}, "test"), Error);
}

// ---- Oniguruma's meaning in PCRE2 ------------------------------------------------------------

Pieces matches(std::string_view pattern, std::string_view text) {
  return split(
      one_step(
          {.pattern = std::string(pattern), .behavior = SplitBehavior::removed, .invert = true}),
      text);
}

TEST(Regex, MeansWhatOnigurumaMeans) {
  EXPECT_EQ(matches(R"(\s)", "a\u180eb\u0085c\u00a0"), (Pieces{"\u0085", "\u00a0"}));
  EXPECT_EQ(matches(R"([^\S\n]+)", " \n\u3000 a"), (Pieces{" ", "\u3000 "}));
  EXPECT_EQ(matches("a$", "a\na"), (Pieces{"a", "a"}));
  EXPECT_EQ(matches(R"(\p{N}{1,3}+)", "1234567"), (Pieces{"1234567"}));
  EXPECT_EQ(matches(R"((?:ab){2}+)", "ababababab"), (Pieces{"abababab"}));
  EXPECT_EQ(matches(R"(\w+)", "a\u0301b_c²Ⓐ-Ⅳ‿x"), (Pieces{"a\u0301b_c²Ⓐ", "Ⅳ‿x"}));
  EXPECT_EQ(matches(R"(\p{Han}+)", "中、文"), (Pieces{"中", "文"}));
  EXPECT_EQ(matches(R"(\p{Letter}+)", "ab1"), (Pieces{"ab"}));
  EXPECT_EQ(matches(R"([\u4e00-\u4e2d]+)", "a中文"), (Pieces{"中"}));
  EXPECT_EQ(matches(R"(\h+)", "xyzBEEF09 "), (Pieces{"BEEF09"}));
  EXPECT_EQ(matches(R"((?m:a.b))", "a\nb"), (Pieces{"a\nb"}));
  EXPECT_EQ(matches(R"(x{,2})", "xxx"), (Pieces{"xx", "x"}));
  EXPECT_EQ(matches(R"(a{b)", "a{b"), (Pieces{"a{b"}));
  EXPECT_EQ(matches(R"([]x]+)", "a]x"), (Pieces{"]x"}));
  EXPECT_EQ(matches(R"([[:digit:]a]+)", "1a["), (Pieces{"1a"}));
}

// What Oniguruma 6.9.8 finds, by its own library.
TEST(Regex, WordBoundariesAreOniguruma) {
  const char* digits = R"(\d{1,3}(?=(?:\d{3})*\b))";
  EXPECT_EQ(matches(digits, "2020"), (Pieces{"2", "020"}));
  EXPECT_EQ(matches(digits, "2020\u2074"), (Pieces{"2", "020"}));  // a superscript is no word
  EXPECT_EQ(matches(digits, "2020\u2153"), (Pieces{"2", "020"}));
  EXPECT_EQ(matches(digits, "2020\u0301"), (Pieces{}));  // a mark is: no boundary behind
  EXPECT_EQ(matches(digits, "2020\ufe0f\u20e3"), (Pieces{}));
  EXPECT_EQ(matches(digits, "2020\u00b9 1"), (Pieces{"1"}));  // of Latin-1: a word character
  EXPECT_EQ(matches(R"(\bx)", "x xx \u203fx \u2074x"), (Pieces{"x", "x", "x"}));
  EXPECT_EQ(matches(R"(\Bx\B)", "xxx x"), (Pieces{"x"}));
  EXPECT_EQ(matches(R"([\b])", "a\bb"), (Pieces{"\b"}));
}

TEST(Regex, ClassesMayBeNestedAndIntersected) {
  EXPECT_EQ(matches(R"([a-z&&[^b]]+)", "abcab"), (Pieces{"a", "ca"}));
  EXPECT_EQ(matches(R"([\p{L}&&[^\p{Han}]]+)", "ab中文éx"), (Pieces{"ab", "éx"}));
  EXPECT_EQ(matches(R"([^a-z&&[^b]]+)", "abcAb1"), (Pieces{"b", "Ab1"}));
  EXPECT_EQ(matches(R"([a-f&&b-z&&[^d]]+)", "abcdefg"), (Pieces{"bc", "ef"}));
  EXPECT_EQ(matches(R"([x[0-9[yz]]]+)", "axy1za"), (Pieces{"xy1z"}));
  EXPECT_EQ(matches(R"([^(\s|[.,!?…。，、।۔،])]+)", "ab, c|d。e"), (Pieces{"ab", "c", "d", "e"}));
  EXPECT_EQ(matches(R"([\W]+)", "a, b⁴"), (Pieces{", ", "⁴"}));
  EXPECT_EQ(matches(R"([^\W\d]+)", "a1_b2"), (Pieces{"a", "_b"}));
  EXPECT_EQ(matches(R"([\w]+)", "a²b"), (Pieces{"a", "b"}));  // not as outside of [...]
  EXPECT_EQ(matches(R"([[:punct:]]+)", "a.+Ⓐ"), (Pieces{".+Ⓐ"}));
  EXPECT_EQ(matches(R"([[:^digit:]]+)", "1ab2"), (Pieces{"ab"}));
  EXPECT_EQ(matches(R"([a-c-]+)", "a-d"), (Pieces{"a-"}));
}

TEST(Regex, OptionsHoldToTheEndOfTheirGroup) {
  EXPECT_EQ(matches(R"(a(?i)b|c)", "ab aB c aC"), (Pieces{"ab", "aB", "aC"}));  // a(?i:b|c)
  EXPECT_EQ(matches(R"((?i:'s|'re)|x)", "'S 'Re X 'ſ"), (Pieces{"'S", "'Re", "'ſ"}));
  EXPECT_EQ(matches(R"((?i:[^a])+)", "bAcad"), (Pieces{"b", "c", "d"}));
  EXPECT_EQ(matches("(?x: a b # c\n | \\ d)", "ab  d"), (Pieces{"ab", " d"}));
  EXPECT_EQ(matches(R"(\v)", "\v\n\u0085"), (Pieces{"\v"}));
  EXPECT_EQ(matches(R"(\R)", "a\r\nb\u2028"), (Pieces{"\r\n", "\u2028"}));
  EXPECT_EQ(matches(R"((a)\1)", "aab"), (Pieces{"aa"}));
}

// Every character, through the library's own \p{...}: the tables' Unicode comes out, whatever it
// has.
TEST(Regex, SetsAreThoseOfTheTablesForEveryCharacter) {
  const CodePointSet surrogates{{0xD800, 0xDFFF}};
  std::string all;
  for (const auto& range : (~surrogates).ranges()) {
    for (char32_t c = range.first; c <= range.last; ++c) append_utf8(c, all);
  }
  RegexScratch scratch;
  for (const char* pattern : {"\\p{L}+", "\\P{L}+", "\\p{M}+", "\\p{Nd}+", "\\p{P}+", "\\p{So}+",
                              "\\p{Han}+", "[^\\p{Han}]+", "\\p{Cn}+"}) {
    const std::string name(
        pattern + std::string_view(pattern).find('{') + 1,
        std::string_view(pattern).find('}') - std::string_view(pattern).find('{') - 1);
    const bool negated = std::string_view(pattern).find_first_of("P^") < 3;
    const CodePointSet wanted = negated ? ~*property_named(name) : *property_named(name);
    const Regex regex(pattern, "test");
    CodePointSet found;
    for (std::size_t from = 0;;) {
      const auto match = regex.find(all, from, scratch);
      if (!match) break;
      std::size_t last = match->end - 1;
      while ((all[last] & 0xC0) == 0x80) --last;
      found.add(decode_valid(&all[match->begin]).value, decode_valid(&all[last]).value);
      from = match->end;
    }
    EXPECT_TRUE(found - surrogates == wanted - surrogates) << pattern;
  }
}

TEST(Regex, SpaceAtLineEndIsFoundLikeInPcre2) {
  const Regex own(R"(\s+$)", "test"), pcre2(R"((?:\s)+$)", "test");
  RegexScratch scratch;
  fuzz::Rng rng(21);
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (std::size_t n = rng.below(12); n > 0; --n) {
      text += std::array{" ", "\n", "\r", "\u2028", "\u0085", "x", "é", "\u180e"}[rng.below(8)];
    }
    for (std::size_t from = 0; from <= text.size(); ++from) {
      if (from < text.size() && (text[from] & 0xC0) == 0x80) continue;
      const auto a = own.find(text, from, scratch), b = pcre2.find(text, from, scratch);
      ASSERT_EQ(a.has_value(), b.has_value()) << testing::PrintToString(text) << from;
      if (!a) continue;
      ASSERT_EQ(a->begin, b->begin) << testing::PrintToString(text) << from;
      ASSERT_EQ(a->end, b->end) << testing::PrintToString(text) << from;
    }
  }
  own.find(std::string(2'000'000, ' ') + "x", 0, scratch);  // at once
}

TEST(Regex, RefusesWhatItCannotMean) {
  for (const char* pattern : {"(*NO_JIT)a",
                              "(",
                              "[",
                              "a**b(",
                              "\\p{NoSuchScript}",
                              "\\",
                              "\\C",
                              "(?<",
                              "((a{1000}){1000}){1000}",
                              "\\X",
                              "\\y",
                              "\\Qa",
                              "\\i",
                              "\\g<1>",
                              "\\k<a>",
                              "(?~a)",
                              "(?P<a>b)",
                              "(?R)",
                              "(?1)",
                              "(?|a|b)",
                              "(?{a})",
                              "(?(1)a)",
                              "(?s:a)",
                              "(?<n>a)\\1",
                              "\\12",
                              "\\xe9",
                              "\\x{d800}",
                              "\\p",
                              "\\pL",
                              "\\p{Emoji}",
                              "[[:alpha:]]",
                              "[a-[b]]",
                              "[a-\\d]",
                              "[z-a]",
                              "[\\R]",
                              "(?i)stop",
                              "(?i:[[^a]])",
                              "\\uD800",
                              "\\u12",
                              "a\xff"}) {
    EXPECT_THROW(Regex(pattern, "test"), Error) << pattern;
  }
  EXPECT_THROW(Regex(std::string(100000, 'a'), "test"), Error);
}

TEST(Regex, GivesUpOnEndlessMatchesWithAnError) {
  const Regex regex("(?:a|a)*(?:a|a)*(?:a|a)*b(?!x)", "test");
  RegexScratch scratch;
  EXPECT_THROW(regex.find(std::string(5000, 'a') + "bx", 0, scratch), Error);
  EXPECT_TRUE(regex.find("aab", 0, scratch));  // and the scratch is fit for the next
}

// ---- Unicode ---------------------------------------------------------------------------------

TEST(Unicode, ClassesOfKnownCharacters) {
  const auto& classes = character_classes();
  EXPECT_EQ(classes['a'], kLetter | kWord);
  EXPECT_EQ(classes['_'], kPunctuation | kWord | kOldPunctuation);
  EXPECT_EQ(classes['+'], kSymbol | kOldPunctuation);
  EXPECT_EQ(classes[0x2E55], kPunctuation);  // Unicode 14
  EXPECT_EQ(classes['0'], kNumber | kWord);
  EXPECT_EQ(classes['\n'], kSpace);
  EXPECT_EQ(classes[0x85], kSpace);
  EXPECT_EQ(classes[0x180E], 0);
  EXPECT_EQ(classes[0x301], kMark | kWord);
  EXPECT_EQ(classes[0xB2], kNumber);
  EXPECT_EQ(classes[0x1FAE9], kSymbol);  // Unicode 16
  EXPECT_EQ(classes[0x10FFFF], 0);
}

TEST(Unicode, Utf8IsCheckedLikeTheStandardSays) {
  for (const char* valid : {"a", "\x7f", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF",
                            "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(utf8_character_size(valid), static_cast<int>(std::string(valid).size()));
  }
  for (const char* invalid :
       {"", "\x80", "\xC1\xBF", "\xC2", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE4\xB8",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xF0\x90\x80", "\xFF"}) {
    EXPECT_EQ(utf8_character_size(invalid), 0) << testing::PrintToString(invalid);
  }
  for (char32_t c = 0; c < kCodePoints; c += c == 0xD7FF ? 0x801 : 1) {
    std::string text;
    append_utf8(c, text);
    ASSERT_EQ(utf8_character_size(text), static_cast<int>(text.size()));
    ASSERT_EQ(decode_valid(text.data()).value, c);
  }
  EXPECT_EQ(valid_utf8_prefix("abcdefghij\u4e2d\xff"), 13u);
  EXPECT_EQ(ascii_prefix("0123456789é"), 10u);
}

}  // namespace
}  // namespace ingot

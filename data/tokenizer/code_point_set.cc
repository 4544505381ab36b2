#include "data/tokenizer/code_point_set.h"

#include <algorithm>
#include <array>
#include <bit>
#include <iterator>
#include <span>
#include <string>
#include <utility>

#include "data/tokenizer/unicode_tables.h"

namespace ingot {
namespace {

constexpr char32_t kCodePointCount = 0x110000;

static_assert(std::size(kCategoryNames) == kCategories);

// One set for each value of a table of unicode_tables.h.
std::vector<CodePointSet> sets_of(std::span<const std::uint32_t> starts, std::size_t values) {
  std::vector<CodePointSet> sets(values);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const char32_t end = i + 1 < starts.size() ? starts[i + 1] >> 8 : kCodePointCount;
    sets[starts[i] & 0xFF].add(starts[i] >> 8, end - 1);
  }
  return sets;
}

const std::vector<CodePointSet>& ages() {
  static const auto sets = sets_of(kAgeStarts, 3);
  return sets;
}

CodePointSet categories_with(std::string_view first_letter) {
  CodePointSet set;
  for (int i = 0; i < kCategories; ++i) {
    if (kCategoryNames[i].starts_with(first_letter)) set |= code_points_of_category(i);
  }
  return set;
}

CodePointSet category(std::string_view name) { return categories_with(name); }

CodePointSet joined(CodePointSet a, const CodePointSet& b) { return std::move(a |= b); }

std::string plain(std::string_view name) {
  std::string text;
  for (const char c : name) {
    if (c == ' ' || c == '_' || c == '-') continue;
    text += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  return text;
}

using Name = std::pair<std::string_view, std::string_view>;

constexpr Name kLongNames[] = {{"letter", "L"},
                               {"casedletter", "LC"},
                               {"uppercaseletter", "Lu"},
                               {"lowercaseletter", "Ll"},
                               {"titlecaseletter", "Lt"},
                               {"modifierletter", "Lm"},
                               {"otherletter", "Lo"},
                               {"mark", "M"},
                               {"combiningmark", "M"},
                               {"nonspacingmark", "Mn"},
                               {"spacingmark", "Mc"},
                               {"enclosingmark", "Me"},
                               {"number", "N"},
                               {"decimalnumber", "Nd"},
                               {"letternumber", "Nl"},
                               {"othernumber", "No"},
                               {"punctuation", "P"},
                               {"connectorpunctuation", "Pc"},
                               {"dashpunctuation", "Pd"},
                               {"openpunctuation", "Ps"},
                               {"closepunctuation", "Pe"},
                               {"initialpunctuation", "Pi"},
                               {"finalpunctuation", "Pf"},
                               {"otherpunctuation", "Po"},
                               {"symbol", "S"},
                               {"mathsymbol", "Sm"},
                               {"currencysymbol", "Sc"},
                               {"modifiersymbol", "Sk"},
                               {"othersymbol", "So"},
                               {"separator", "Z"},
                               {"spaceseparator", "Zs"},
                               {"lineseparator", "Zl"},
                               {"paragraphseparator", "Zp"},
                               {"other", "C"},
                               {"control", "Cc"},
                               {"format", "Cf"},
                               {"surrogate", "Cs"},
                               {"privateuse", "Co"},
                               {"unassigned", "Cn"}};

constexpr Name kShortScripts[] = {
    {"arab", "Arabic"},     {"beng", "Bengali"},   {"bopo", "Bopomofo"}, {"cyrl", "Cyrillic"},
    {"deva", "Devanagari"}, {"grek", "Greek"},     {"hang", "Hangul"},   {"hani", "Han"},
    {"hebr", "Hebrew"},     {"hira", "Hiragana"},  {"kana", "Katakana"}, {"latn", "Latin"},
    {"taml", "Tamil"},      {"zinh", "Inherited"}, {"zyyy", "Common"}};

std::string_view translated(std::span<const Name> names, std::string_view name) {
  const auto found = std::ranges::find(names, name, &Name::first);
  return found == names.end() ? name : found->second;
}

std::optional<CodePointSet> category_named(std::string_view name) {
  const std::string wanted = plain(translated(kLongNames, name));
  if (wanted == "lc" || wanted == "l&") {
    return joined(joined(category("Lu"), category("Ll")), category("Lt"));
  }
  CodePointSet set;
  bool found = false;
  for (int i = 0; i < kCategories; ++i) {
    const std::string each = plain(kCategoryNames[i]);
    if (each != wanted && each.substr(0, 1) != wanted) continue;
    set |= code_points_of_category(i);
    found = true;
  }
  return found ? std::optional(set) : std::nullopt;
}

std::optional<CodePointSet> script_named(std::string_view name) {
  static const auto scripts = sets_of(kScriptStarts, std::size(kScriptNames));
  const std::string wanted = plain(translated(kShortScripts, name));
  for (std::size_t i = 1; i < std::size(kScriptNames); ++i) {
    if (plain(kScriptNames[i]) == wanted) return scripts[i];
  }
  return std::nullopt;
}

// Of POSIX and the like.
std::optional<CodePointSet> class_named(std::string_view name) {
  if (name == "any") return CodePointSet{{0, kCodePointCount - 1}};
  if (name == "assigned") return ~code_points_of_category(0);
  if (name == "ascii") return CodePointSet{{0, 0x7F}};
  if (name == "digit") return decimal_digits();
  if (name == "space" || name == "whitespace") return space_characters();
  if (name == "word") return word_without_joiners();
  if (name == "xdigit") return CodePointSet{{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
  if (name == "cntrl") return category("Cc");
  if (name == "blank") return joined(category("Zs"), CodePointSet{{'\t', '\t'}});
  if (name == "punct") return joined(category("P"), category("S"));
  return std::nullopt;
}

}  // namespace

CodePointSet::CodePointSet() : words_(kCodePointCount / 64) {}

CodePointSet::CodePointSet(std::initializer_list<Range> ranges) : CodePointSet() {
  for (const Range& range : ranges) add(range.first, range.last);
}

void CodePointSet::add(char32_t first, char32_t last) {
  for (char32_t c = first; c <= last;) {
    if (c % 64 == 0 && c + 63 <= last) {
      words_[c / 64] = ~std::uint64_t{0};
      c += 64;
    } else {
      words_[c / 64] |= std::uint64_t{1} << (c % 64);
      ++c;
    }
  }
}

std::size_t CodePointSet::size() const {
  std::size_t count = 0;
  for (const std::uint64_t word : words_) count += static_cast<std::size_t>(std::popcount(word));
  return count;
}

std::vector<CodePointSet::Range> CodePointSet::ranges() const {
  std::vector<Range> ranges;
  const auto join = [&ranges](char32_t first, char32_t last) {
    if (!ranges.empty() && ranges.back().last + 1 == first) {
      ranges.back().last = last;
    } else {
      ranges.push_back({first, last});
    }
  };
  for (std::size_t i = 0; i < words_.size(); ++i) {
    const char32_t base = static_cast<char32_t>(64 * i);
    for (int at = 0; at < 64;) {
      const std::uint64_t rest = words_[i] >> at;
      if (rest == 0) break;
      at += std::countr_zero(rest);
      const int count = std::countr_one(words_[i] >> at);
      join(base + static_cast<char32_t>(at), base + static_cast<char32_t>(at + count - 1));
      at += count;
    }
  }
  return ranges;
}

CodePointSet& CodePointSet::operator|=(const CodePointSet& other) {
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  return *this;
}

CodePointSet& CodePointSet::operator&=(const CodePointSet& other) {
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
  return *this;
}

CodePointSet CodePointSet::operator~() const {
  CodePointSet result = *this;
  for (std::uint64_t& word : result.words_) word = ~word;
  return result;
}

CodePointSet CodePointSet::operator-(const CodePointSet& other) const {
  CodePointSet result = *this;
  result &= ~other;
  return result;
}

std::string_view category_name(int category) { return kCategoryNames[category]; }

const CodePointSet& code_points_of_category(int category) {
  static const auto sets = sets_of(kCategoryStarts, kCategories);
  return sets[static_cast<std::size_t>(category)];
}

const CodePointSet& space_characters() {
  static const CodePointSet set = joined(category("Z"), CodePointSet{{'\t', '\r'}, {0x85, 0x85}});
  return set;
}

const CodePointSet& word_characters() {
  static const CodePointSet set = [] {
    // Circled and squared letters are symbols, but alphabetic.
    CodePointSet word{{0x200C, 0x200D},
                      {0x24B6, 0x24E9},
                      {0x1F130, 0x1F149},
                      {0x1F150, 0x1F169},
                      {0x1F170, 0x1F189}};
    for (const char* name : {"L", "M", "Nd", "Nl", "Pc"}) word |= category(name);
    return word;
  }();
  return set;
}

const CodePointSet& word_without_joiners() {
  static const CodePointSet set = word_characters() - CodePointSet{{0x200C, 0x200D}};
  return set;
}

const CodePointSet& oniguruma_word_characters() {
  static const CodePointSet set =
      joined(word_without_joiners(), CodePointSet{{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}});
  return set;
}

const CodePointSet& decimal_digits() {
  static const CodePointSet set = category("Nd");
  return set;
}

const CodePointSet& old_punctuation() {
  static const CodePointSet set = [] {
    CodePointSet symbols = category("S");
    symbols &= CodePointSet{{0, 0x7F}};
    CodePointSet old = category("P");
    old &= ages()[0];
    // Two that were punctuation then.
    return joined(joined(old, symbols), CodePointSet{{0x166D, 0x166D}, {0x111C9, 0x111C9}});
  }();
  return set;
}

const CodePointSet& younger_than_unicode_9() { return ages()[2]; }

std::optional<CodePointSet> property_named(std::string_view name) {
  const std::string wanted = plain(name);
  if (auto set = class_named(wanted)) return set;
  if (auto set = category_named(wanted)) return set;
  return script_named(wanted);
}

}  // namespace ingot

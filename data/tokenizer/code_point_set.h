// Sets of code points, and those that Unicode's properties name: the project's own tables
// (unicode_tables.h), so that a text gives the same tokens on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace ingot {

class CodePointSet {
 public:
  struct Range {
    char32_t first, last;
  };

  CodePointSet();  // empty
  CodePointSet(std::initializer_list<Range> ranges);

  void add(char32_t first, char32_t last);
  void add(char32_t c) { add(c, c); }
  bool contains(char32_t c) const { return words_[c / 64] >> (c % 64) & 1; }
  std::size_t size() const;
  std::vector<Range> ranges() const;  // ascending, with gaps between

  CodePointSet& operator|=(const CodePointSet& other);
  CodePointSet& operator&=(const CodePointSet& other);
  CodePointSet operator~() const;
  // This without the other.
  CodePointSet operator-(const CodePointSet& other) const;

  bool operator==(const CodePointSet&) const = default;

 private:
  std::vector<std::uint64_t> words_;  // a bit for each code point
};

inline constexpr int kCategories = 30;  // of Unicode; 0 is "not assigned"

std::string_view category_name(int category);
const CodePointSet& code_points_of_category(int category);

// White_Space.
const CodePointSet& space_characters();
const CodePointSet& decimal_digits();
// Letters, marks, decimal and letter numbers, connectors, circled letters; and the joiners, as \w
// of Rust's expressions has them.
const CodePointSet& word_characters();
// As Oniguruma has them: no joiners; and, but not within [...], the other numbers of Latin-1 (²,
// ½).
const CodePointSet& word_without_joiners();
const CodePointSet& oniguruma_word_characters();

// The punctuation that Unicode 8.0 knew, and the symbols of ASCII.
const CodePointSet& old_punctuation();
// What Unicode 9.0 did not know yet.
const CodePointSet& younger_than_unicode_9();

// A general category ("Lu", "L", "Uppercase_Letter"), a script ("Han", "Hani"), or "Any",
// "Assigned", "ASCII", "Digit", "Space", "Word", "XDigit", "Cntrl", "Blank", "Punct". Case, spaces,
// "_" and "-" do not matter. Nothing for other names.
std::optional<CodePointSet> property_named(std::string_view name);

}  // namespace ingot

// The characters and sets of characters in an expression of Oniguruma (Ruby's syntax). Internal to
// pretokenizer_regex_translate.cc.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "data/tokenizer/code_point_set.h"

namespace ingot {

inline bool is_ascii_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

// Reads the pattern from front to back.
class RegexCharacters {
 public:
  // Both must outlive the reader. Error(data) with `where` for invalid UTF-8.
  RegexCharacters(std::string_view pattern, const std::string& where);

 protected:
  // WHAT in regex '...' is not supported.
  [[noreturn]] void refuse(const std::string& what) const;

  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0';
  }
  bool starts(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  bool take(std::string_view text);

  // The character that stands here.
  char32_t character();
  // \n, \x41, \x{4e00}, \u4e00, or a sign that is no letter. inside: of [...], where \b is U+0008.
  char32_t escaped_character(bool inside);
  // \s, \w, \d, \h, \p{...} and their opposites: the set, and whether it is negated. Nothing, and
  // nothing read, for other escapes.
  std::optional<std::pair<CodePointSet, bool>> escaped_set(bool inside);
  // Behind the '[', up to its ']'. `negated` is told apart, for case does not count the same for
  // both.
  CodePointSet character_class(bool& negated, bool caseless, int depth = 0);

  std::string_view in_;
  std::size_t at_ = 0;

 private:
  std::pair<CodePointSet, bool> property(bool negated);
  char32_t hex_digits(std::size_t least, std::size_t most, const std::string& spelled);
  void add_member(CodePointSet& members, bool caseless, int depth);
  void add_range(CodePointSet& members);
  char32_t class_character();
  CodePointSet bracket_class();

  const std::string& where_;
};

}  // namespace ingot

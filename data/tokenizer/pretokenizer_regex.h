// A regular expression of a tokenizer.json, run by PCRE2 with the meaning Hugging Face's engine
// (Oniguruma, Ruby syntax) gives it: \s, \w and \b are Unicode's, $ matches at line ends, \p{Han}
// is the script itself, [a&&[^b]] is what both hold. Sets of characters are those of the project's
// own tables (code_point_set.h), whatever Unicode the library has.
//
// Left to the library: which letters are one where case does not count.
#pragma once

#include <bitset>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ingot {

// Memory of a running match: one per thread, for any number of expressions.
class RegexScratch {
 public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(RegexScratch&&) noexcept;
  RegexScratch& operator=(RegexScratch&&) noexcept;

 private:
  friend class Regex;
  struct State;
  std::unique_ptr<State> state_;
};

class Regex {
 public:
  struct Match {
    std::size_t begin, end;
  };

  // Error(data) with `where` if the expression is not understood or asks for what PCRE2 cannot do.
  Regex(std::string_view pattern, std::string where);

  // The first match at or after `from`. The text must be valid UTF-8, `from` a character's start.
  // Error(data) when the expression needs absurdly many steps on this text.
  std::optional<Match> find(std::string_view text, std::size_t from, RegexScratch& scratch) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;  // immutable
  std::optional<std::bitset<256>> first_bytes_;
  std::string pattern_, where_;
};

// The same expression in PCRE2's spelling. Error(data) naming what is not known to have a
// counterpart there.
std::string to_pcre2(std::string_view pattern, const std::string& where);

}  // namespace ingot

#include "data/tokenizer/pretokenizer_regex_characters.h"

#include <algorithm>
#include <iterator>

#include "engine/base/error.h"
#include "engine/base/utf8.h"

namespace ingot {
namespace {

constexpr int kDeepestClass = 32;
constexpr CodePointSet::Range kHexDigits[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
// Letters with a code point of their own, and it.
constexpr std::pair<char, char> kControls[] = {{'t', '\t'}, {'n', '\n'}, {'r', '\r'},  {'f', '\f'},
                                               {'v', '\v'}, {'a', '\a'}, {'e', '\x1B'}};
const char* control_of(char letter) {
  const auto found = std::ranges::find(kControls, letter, &std::pair<char, char>::first);
  return found == std::end(kControls) ? nullptr : &found->second;
}

}  // namespace

RegexCharacters::RegexCharacters(std::string_view pattern, const std::string& where)
    : in_(pattern), where_(where) {
  if (valid_utf8_prefix(pattern) != pattern.size()) refuse("invalid UTF-8");
}

void RegexCharacters::refuse(const std::string& what) const {
  throw Error(ErrorCode::data, what + " in regex '" + std::string(in_) + "' is not supported",
              where_, "write the expression without it");
}

bool RegexCharacters::take(std::string_view text) {
  if (!starts(text)) return false;
  at_ += text.size();
  return true;
}

char32_t RegexCharacters::character() {
  const CodePoint c = decode_valid(in_.data() + at_);
  at_ += static_cast<std::size_t>(c.size);
  return c.value;
}

std::optional<std::pair<CodePointSet, bool>> RegexCharacters::escaped_set(bool inside) {
  const char c = peek(1);
  const char kind = static_cast<char>(c | 0x20);
  const bool upper = c == kind - 0x20;
  if (c == 'p' || c == 'P') return property(upper);
  if (c != kind && !upper) return std::nullopt;
  CodePointSet set;
  if (kind == 's') {
    set = space_characters();
  } else if (kind == 'w') {
    set = inside ? word_without_joiners() : oniguruma_word_characters();
  } else if (kind == 'd') {
    set = decimal_digits();
  } else if (kind == 'h') {
    for (const auto& range : kHexDigits) set.add(range.first, range.last);
  } else {
    return std::nullopt;
  }
  at_ += 2;
  return std::pair(std::move(set), upper);
}

// A script's name means the script itself.
std::pair<CodePointSet, bool> RegexCharacters::property(bool negated) {
  const std::size_t close = in_.find('}', at_);
  if (peek(2) != '{' || close == std::string_view::npos) {
    refuse("'" + std::string(in_.substr(at_, 3)) + "' without {name}");
  }
  std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
  if (name.starts_with('^')) {
    negated = !negated;
    name.remove_prefix(1);
  }
  auto set = property_named(name);
  if (!set) refuse("the property '" + std::string(name) + "'");
  at_ = close + 1;
  return {std::move(*set), negated};
}

char32_t RegexCharacters::escaped_character(bool inside) {
  const char c = peek(1);
  const std::string spelled(in_.substr(at_, 2));
  at_ += 2;
  if (const char* control = control_of(c)) return static_cast<unsigned char>(*control);
  if (c == 'b' && inside) return '\b';
  if (c == '0' && !(peek() >= '0' && peek() <= '7')) return 0;
  if (c == 'u') return hex_digits(4, 4, spelled);
  if (c == 'x' && take("{")) {
    const char32_t value = hex_digits(1, 6, spelled);
    if (!take("}")) refuse("'\\x{' without '}'");
    return value;
  }
  if (c == 'x') {
    const char32_t value = hex_digits(1, 2, spelled);
    if (value >= 0x80) refuse("a byte of a character ('\\x' beyond 7f)");
    return value;
  }
  if (is_ascii_letter_or_digit(c) || at_ > in_.size()) refuse("'" + spelled + "'");
  --at_;
  return character();
}

char32_t RegexCharacters::hex_digits(std::size_t least, std::size_t most,
                                     const std::string& spelled) {
  char32_t value = 0;
  std::size_t count = 0;
  for (; count < most; ++count, ++at_) {
    const char c = static_cast<char>(peek() | 0x20);
    if (peek() >= '0' && peek() <= '9') {
      value = 16 * value + static_cast<char32_t>(peek() - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = 16 * value + static_cast<char32_t>(c - 'a' + 10);
    } else {
      break;
    }
  }
  if (count < least || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
    refuse("'" + spelled + "' without a code point");
  }
  return value;
}

CodePointSet RegexCharacters::character_class(bool& negated, bool caseless, int depth) {
  if (depth > kDeepestClass) refuse("[...] nested so deeply");
  negated = peek() == '^';
  if (negated) ++at_;
  CodePointSet members;
  std::optional<CodePointSet> before_and;
  for (bool first = true; peek() != ']' || first; first = false) {
    if (at_ >= in_.size()) refuse("a '[' without ']'");
    if (take("&&")) {
      if (before_and) members &= *before_and;
      before_and = std::exchange(members, {});
    } else {
      add_member(members, caseless, depth);
    }
  }
  ++at_;
  if (before_and) members &= *before_and;
  return members;
}

void RegexCharacters::add_member(CodePointSet& members, bool caseless, int depth) {
  if (starts("[:")) {
    members |= bracket_class();
  } else if (take("[")) {
    bool negated = false;
    const CodePointSet nested = character_class(negated, caseless, depth + 1);
    if (negated && caseless) refuse("[^...] inside [...] without case");
    members |= negated ? ~nested : nested;
  } else if (auto set = peek() == '\\' ? escaped_set(true) : std::nullopt) {
    members |= set->second ? ~set->first : set->first;
  } else {
    add_range(members);
  }
}

void RegexCharacters::add_range(CodePointSet& members) {
  const char32_t first = class_character();
  if (peek() != '-' || peek(1) == ']' || at_ + 1 >= in_.size()) return members.add(first);
  ++at_;
  if (peek() == '[' || starts("&&")) refuse("a range that ends with '['");
  if (peek() == '\\' && escaped_set(true)) refuse("a range that ends with a set");
  const char32_t last = class_character();
  if (last < first) refuse("a range from a larger to a smaller character");
  members.add(first, last);
}

char32_t RegexCharacters::class_character() {
  return peek() == '\\' ? escaped_character(/*inside=*/true) : character();
}

// [:digit:]
CodePointSet RegexCharacters::bracket_class() {
  const std::size_t close = in_.find(":]", at_ + 2);
  if (close == std::string_view::npos) refuse("'[:' without ':]'");
  std::string_view name = in_.substr(at_ + 2, close - at_ - 2);
  const bool negated = name.starts_with('^');
  if (negated) name.remove_prefix(1);
  const auto set = property_named(name);
  if (!set) refuse("'[:" + std::string(name) + ":]'");
  at_ = close + 2;
  return negated ? ~*set : *set;
}

}  // namespace ingot

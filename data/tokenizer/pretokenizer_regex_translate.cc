// Oniguruma's spelling of a regular expression -> PCRE2's: the constructs that mean something else
// there.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizer/pretokenizer_regex.h"
#include "engine/base/error.h"

namespace ingot {
namespace {

// White_Space. PCRE2's \s has U+180E, too.
constexpr std::string_view kSpaces =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNonSpaces =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
// Word characters. PCRE2's \w lacks marks and connectors and has all numbers. The ranges: the other
// numbers of Latin-1, circled and squared letters.
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})"
    R"(\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";
constexpr std::string_view kHexDigits = "0-9A-Fa-f";

bool compiles(const std::string& pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
  pcre2_code_free(code);
  return code != nullptr;
}

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    while (at_ < in_.size()) step();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorCode::data, what + " in regex '" + std::string(in_) + "' is not supported",
                where_, "write the expression without it");
  }
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0';
  }
  bool starts(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  void copy(std::size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }

  void step() {
    switch (peek()) {
      case '(':
        return open_group();
      case ')':
        if (!groups_.empty()) {
          atom_ = groups_.back();
          groups_.pop_back();
        }
        return copy(1);
      case '[':
        return character_class();
      case '\\':
        atom_ = out_.size();
        return escape(false);
      case '{':
        return interval();
      case '*':
      case '+':
      case '?':
      case '|':
        return copy(1);
      default: {
        atom_ = out_.size();
        copy(1);
        while ((peek() & 0xC0) == 0x80 && at_ < in_.size()) copy(1);
      }
    }
  }

  void open_group() {
    if (starts("(*")) refuse("'(*'");
    groups_.push_back(out_.size());
    if (!starts("(?")) return copy(1);
    copy(2);
    // (?m) is "dot matches newlines" in Ruby's syntax.
    while (peek() == 'i' || peek() == 'm' || peek() == 'x' || peek() == '-') {
      out_ += peek() == 'm' ? 's' : peek();
      ++at_;
    }
  }

  // {n,m} with what follows. There is no possessive X{n,m}+: it means (?:X{n,m})+, as X{n}? means
  // (?:X{n})?.
  void interval() {
    const std::size_t close = in_.find('}', at_);
    const std::string_view body =
        in_.substr(at_ + 1, close == std::string_view::npos ? 0 : close - at_ - 1);
    if (body.empty() || body.find_first_not_of("0123456789,") != std::string_view::npos ||
        body == ",") {
      atom_ = out_.size();
      return copy(1);
    }
    at_ = close + 1;
    out_ += body.front() == ',' ? "{0" : "{";
    out_ += body;
    out_ += '}';
    const bool exact = body.find(',') == std::string_view::npos;
    if (peek() == '+' || (peek() == '?' && exact)) {
      out_.insert(atom_, "(?:");
      out_ += ')';
    }
  }

  void character_class() {
    atom_ = out_.size();
    copy(1);
    if (peek() == '^') copy(1);
    if (peek() == ']') copy(1);
    while (peek() != ']') {
      if (at_ >= in_.size()) return;  // PCRE2 names the mistake
      if (starts("&&")) refuse("'&&' inside [...]");
      if (starts("[:")) {
        const std::size_t close = in_.find(":]", at_);
        copy(close == std::string_view::npos ? 2 : close + 2 - at_);
      } else if (peek() == '[') {
        refuse("a [...] inside [...]");
      } else if (peek() == '\\') {
        escape(true);
      } else {
        copy(1);
      }
    }
    copy(1);
  }

  void set(std::string_view members, bool negated, bool inside) {
    at_ += 2;
    if (inside) {
      out_ += members;
    } else {
      out_.append(negated ? "[^" : "[").append(members).append("]");
    }
  }

  void escape(bool inside) {
    switch (peek(1)) {
      case 's':
        return set(kSpaces, false, inside);
      case 'S':
        return inside ? set(kNonSpaces, false, true) : set(kSpaces, true, false);
      case 'w':
        return set(kWord, false, inside);
      case 'W':
        if (inside) refuse("'\\W' inside [...]");
        return set(kWord, true, false);
      case 'h':
        return set(kHexDigits, false, inside);
      case 'H':
        if (inside) refuse("'\\H' inside [...]");
        return set(kHexDigits, true, false);
      case 'p':
      case 'P':
        return property();
      case 'u':
        out_.append("\\x{").append(in_.substr(at_ + 2, 4)).append("}");
        at_ = std::min(at_ + 6, in_.size());
        return;
      default: {
        copy(at_ + 1 < in_.size() ? 2 : 1);
        while ((peek() & 0xC0) == 0x80 && at_ < in_.size()) copy(1);
      }
    }
  }

  // A script's name means the script here, in PCRE2 also the characters it shares with others.
  void property() {
    const std::size_t close = in_.find('}', at_);
    if (peek(2) != '{' || close == std::string_view::npos) return copy(2);
    std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
    std::string head(in_.substr(at_, 3));
    if (name.starts_with('^')) {
      head += '^';
      name.remove_prefix(1);
    }
    static constexpr std::pair<std::string_view, std::string_view> kLongNames[] = {
        {"Letter", "L"}, {"Mark", "M"},      {"Number", "N"}, {"Punctuation", "P"},
        {"Symbol", "S"}, {"Separator", "Z"}, {"Other", "C"},
    };
    for (const auto& [long_name, short_name] : kLongNames) {
      if (name == long_name) name = short_name;
    }
    const bool script = name.size() > 2 && compiles("\\p{sc:" + std::string(name) + "}");
    out_.append(head).append(script ? "sc:" : "").append(name).append("}");
    at_ = close + 1;
  }

  std::string_view in_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::string out_;
  std::size_t atom_ = 0;             // where in out_ the last thing a quantifier can follow begins
  std::vector<std::size_t> groups_;  // the same for each open group
};

}  // namespace

std::string to_pcre2(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace ingot

#include "data/prepare/text_source_jsonl.h"

#include <cstdint>

#include "data/tokenizer/pretokenizer_unicode.h"

namespace ingot {
namespace {

constexpr std::size_t kDeepest = 1000;

// Walks over JSON values. Every function returns false where the line is not JSON.
class Scanner {
 public:
  explicit Scanner(std::string_view line) : at_(line.data()), end_(line.data() + line.size()) {}

  void skip_space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r' || *at_ == '\n')) ++at_;
  }
  bool at_end() const { return at_ == end_; }
  char peek() const { return at_ < end_ ? *at_ : '\0'; }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    if (static_cast<std::size_t>(end_ - at_) < word.size()) return false;
    if (std::string_view(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  // A string; its content goes to `out` unless that is null.
  bool string(std::string* out) {
    if (out) out->clear();
    if (!take('"')) return false;
    while (at_ < end_) {
      const char* plain = at_;
      while (at_ < end_ && *at_ != '"' && *at_ != '\\') ++at_;
      if (out) out->append(plain, at_);
      if (take('"')) return true;
      if (at_ == end_) return false;
      ++at_;
      if (!escape(out)) return false;
    }
    return false;
  }

  // Any value. Keeps its own stack: a line of brackets must not exhaust the program's.
  bool skip_value() {
    std::string open;
    for (;;) {
      skip_space();
      if (peek() == '{' || peek() == '[') {
        if (open.size() == kDeepest) return false;
        open.push_back(*at_++);
        skip_space();
        if (!take(closing(open.back()))) {
          if (open.back() == '{' && !key()) return false;
          continue;
        }
        open.pop_back();
      } else if (!scalar()) {
        return false;
      }
      // A value has ended: so may the containers around it.
      for (;;) {
        if (open.empty()) return true;
        skip_space();
        if (take(',')) {
          skip_space();
          if (open.back() == '{' && !key()) return false;
          break;
        }
        if (!take(closing(open.back()))) return false;
        open.pop_back();
      }
    }
  }

 private:
  static char closing(char open) { return open == '{' ? '}' : ']'; }

  bool key() {
    if (!string(nullptr)) return false;
    skip_space();
    return take(':');
  }

  bool scalar() {
    switch (peek()) {
      case '"':
        return string(nullptr);
      case 't':
        return take_word("true");
      case 'f':
        return take_word("false");
      case 'n':
        return take_word("null");
      default:
        return number();
    }
  }

  bool digits() {
    const char* first = at_;
    while (at_ < end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    return at_ > first;
  }
  bool number() {
    take('-');
    if (!digits()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      return digits();
    }
    return true;
  }

  // What follows a backslash.
  bool escape(std::string* out) {
    static constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    if (at_ == end_) return false;
    const char letter = *at_++;
    if (letter == 'u') return unicode_escape(out);
    const std::size_t which = kLetters.find(letter);
    if (which == std::string_view::npos) return false;
    if (out) out->push_back(kMeanings[which]);
    return true;
  }

  bool unicode_escape(std::string* out) {
    std::uint32_t unit = 0;
    if (!four_digits(unit)) return false;
    if (unit >= 0xD800 && unit < 0xDC00) {
      const char* before = at_;
      std::uint32_t low = 0;
      if (take('\\') && take('u')) {
        if (!four_digits(low)) return false;
      }
      if (low >= 0xDC00 && low < 0xE000) {
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
      } else {
        unit = 0xFFFD;
        at_ = before;
      }
    } else if (unit >= 0xDC00 && unit < 0xE000) {
      unit = 0xFFFD;
    }
    if (out) append_utf8(static_cast<char32_t>(unit), *out);
    return true;
  }

  bool four_digits(std::uint32_t& unit) {
    if (end_ - at_ < 4) return false;
    for (int i = 0; i < 4; ++i) {
      const char c = *at_++;
      std::uint32_t digit = 0;
      if (c >= '0' && c <= '9') {
        digit = static_cast<std::uint32_t>(c - '0');
      } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
        digit = static_cast<std::uint32_t>((c | 0x20) - 'a' + 10);
      } else {
        return false;
      }
      unit = unit << 4 | digit;
    }
    return true;
  }

  const char* at_;
  const char* end_;
};

}  // namespace

JsonTextStatus text_of_json_line(std::string_view line, std::string_view field, std::string& text) {
  constexpr auto kMalformed = JsonTextStatus::malformed;
  auto status = JsonTextStatus::missing;
  text.clear();
  Scanner scanner(line);
  scanner.skip_space();
  if (!scanner.take('{')) return kMalformed;
  scanner.skip_space();
  std::string key;
  bool more = !scanner.take('}');
  while (more) {
    scanner.skip_space();
    if (!scanner.string(&key)) return kMalformed;
    scanner.skip_space();
    if (!scanner.take(':')) return kMalformed;
    scanner.skip_space();
    if (key != field) {
      if (!scanner.skip_value()) return kMalformed;
    } else if (scanner.peek() == '"') {
      if (!scanner.string(&text)) return kMalformed;
      status = text.empty() ? JsonTextStatus::empty : JsonTextStatus::found;
    } else {
      status = scanner.peek() == 'n' ? JsonTextStatus::empty : JsonTextStatus::not_text;
      text.clear();
      if (!scanner.skip_value()) return kMalformed;
    }
    scanner.skip_space();
    more = scanner.take(',');
    if (!more && !scanner.take('}')) return kMalformed;
  }
  scanner.skip_space();
  if (!scanner.at_end()) return kMalformed;
  if (status != JsonTextStatus::found) text.clear();
  return status;
}

}  // namespace ingot

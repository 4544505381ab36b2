#include "data/tokenizer/tokenizer_json_reader.h"

#include <algorithm>
#include <string>

#include "data/tokenizer/pretokenizer_unicode.h"
#include "engine/base/error.h"

namespace ingot {

void JsonReader::fail(const std::string& what) const {
  const auto line =
      1 + std::count(text_.begin(), text_.begin() + std::min(at_, text_.size()), '\n');
  throw Error(ErrorCode::data, what, where_ + ":" + std::to_string(line),
              "check the file against its origin");
}

char JsonReader::peek() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
    ++at_;
  }
  return at_ < text_.size() ? text_[at_] : '\0';
}

void JsonReader::expect(char c) {
  if (peek() != c) fail(std::string("JSON: '") + c + "' is missing");
  ++at_;
}

void JsonReader::end() {
  if (peek() != '\0' || at_ < text_.size()) fail("JSON: text after the end");
}

void JsonReader::begin_object() {
  expect('{');
  first_ = true;
}

void JsonReader::begin_array() {
  expect('[');
  first_ = true;
}

bool JsonReader::next_item(char closing) {
  const bool first = first_;
  first_ = false;
  if (peek() == closing) {
    ++at_;
    return false;
  }
  if (!first) expect(',');
  return true;
}

bool JsonReader::next_key(std::string& key) {
  if (!next_item('}')) return false;
  key = string();
  expect(':');
  return true;
}

bool JsonReader::next_element() { return next_item(']'); }

char32_t JsonReader::hex4() {
  if (text_.size() - at_ < 4) fail("JSON: half an escape");
  char32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = text_[at_++];
    const int digit = c >= '0' && c <= '9'                     ? c - '0'
                      : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                               : -1;
    if (digit < 0) fail("JSON: \\u without four hex digits");
    value = value << 4 | static_cast<char32_t>(digit);
  }
  return value;
}

void JsonReader::escaped(std::string& out) {
  static constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
  const char name = at_ < text_.size() ? text_[at_++] : '\0';
  if (name != 'u') {
    const std::size_t i = kNames.find(name);
    if (i == std::string_view::npos) fail("JSON: unknown escape");
    out += kValues[i];
    return;
  }
  char32_t c = hex4();
  if (c >= 0xD800 && c < 0xDC00 && text_.substr(at_).starts_with("\\u")) {
    at_ += 2;
    const char32_t low = hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail("JSON: a lone surrogate");
    c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
  }
  if (c >= 0xD800 && c < 0xE000) fail("JSON: a lone surrogate");
  append_utf8(c, out);
}

std::string JsonReader::string() {
  if (peek() != '"') fail("JSON: a string is missing");
  ++at_;
  std::string out;
  while (true) {
    std::size_t plain = at_;
    while (plain < text_.size() && static_cast<unsigned char>(text_[plain]) >= 0x20 &&
           text_[plain] != '"' && text_[plain] != '\\') {
      ++plain;
    }
    const std::string_view part = text_.substr(at_, plain - at_);
    if (valid_utf8_prefix(part) != part.size()) fail("JSON: invalid UTF-8");
    out += part;
    at_ = plain;
    if (at_ == text_.size()) fail("JSON: a string without an end");
    const char c = text_[at_++];
    if (c == '"') return out;
    if (c != '\\') fail("JSON: a control character in a string");
    escaped(out);
  }
}

std::uint32_t JsonReader::unsigned_integer() {
  peek();
  const std::size_t begin = at_;
  std::uint64_t value = 0;
  while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
    value = value * 10 + static_cast<std::uint64_t>(text_[at_++] - '0');
    if (value > 0xFFFFFFFFu) fail("a number of more than 32 bits");
  }
  const char after = at_ < text_.size() ? text_[at_] : ' ';
  const bool leading_zero = at_ - begin > 1 && text_[begin] == '0';
  if (at_ == begin || leading_zero || after == '.' || after == 'e' || after == 'E')
    fail("not a natural number");
  return static_cast<std::uint32_t>(value);
}

void JsonReader::skip_string() {
  ++at_;
  while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
  if (at_ >= text_.size()) fail("JSON: a string without an end");
  ++at_;
}

void JsonReader::skip_number() {
  const auto digits = [this] {
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    if (at_ == begin) fail("JSON: not a number");
  };
  if (text_[at_] == '-') ++at_;
  digits();
  if (at_ < text_.size() && text_[at_] == '.') ++at_, digits();
  if (at_ < text_.size() && (text_[at_] | 0x20) == 'e') {
    ++at_;
    if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
    digits();
  }
}

// Brackets are only counted here; who takes a value apart checks the rest.
void JsonReader::skip_value() {
  std::string open;
  do {
    const char c = peek();
    if (c == '{' || c == '[') {
      if (open.size() == kMaxDepth) fail("JSON: nested more than 64 deep");
      open += c;
      ++at_;
    } else if (c == '}' || c == ']') {
      if (open.empty() || open.back() != (c == '}' ? '{' : '['))
        fail("JSON: brackets do not match");
      open.pop_back();
      ++at_;
    } else if (c == '"') {
      skip_string();
    } else if (c == '-' || (c >= '0' && c <= '9')) {
      skip_number();
    } else if ((c == ',' || c == ':') && !open.empty()) {
      ++at_;
    } else {
      bool known = false;
      for (const std::string_view literal : {"true", "false", "null"}) {
        if (text_.substr(at_).starts_with(literal)) at_ += literal.size(), known = true;
      }
      if (!known) fail(at_ < text_.size() ? "JSON: not a value" : "JSON: the file ends too early");
    }
  } while (!open.empty());
}

std::string_view JsonReader::value() {
  peek();
  const std::size_t begin = at_;
  skip_value();
  first_ = false;
  return text_.substr(begin, at_ - begin);
}

}  // namespace ingot

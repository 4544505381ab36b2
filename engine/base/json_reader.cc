#include "engine/base/json_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <system_error>
#include <utility>

#include "engine/base/utf8.h"

namespace ingot {
namespace {

char closing(char bracket) { return bracket == '{' ? '}' : ']'; }

}  // namespace

JsonReader::JsonReader(std::string_view text, std::string where, ErrorCode code,
                       const JsonRules& rules)
    : text_(text), where_(std::move(where)), code_(code), rules_(rules) {
  if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
}

int JsonReader::line() {
  const std::size_t end = std::min(at_, text_.size());
  line_ += static_cast<int>(std::count(text_.begin() + counted_, text_.begin() + end, '\n'));
  counted_ = end;
  return line_;
}

void JsonReader::fail(const std::string& what, const std::string& mend) {
  throw Error(code_, what, where_ + ":" + std::to_string(line()), mend);
}

void JsonReader::malformed(const std::string& what) {
  // Who wrote a config mends it; other files were made by programs.
  const bool made = code_ == ErrorCode::data;
  fail("not valid JSON: " + what, made ? "the file is damaged or is not what its name says" : "");
}

char JsonReader::peek() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
    ++at_;
  }
  return at_ < text_.size() ? text_[at_] : '\0';
}

void JsonReader::expect(char c) {
  const char found = peek();
  if (found != c || at_ == text_.size()) malformed(std::string("'") + c + "' is missing");
  ++at_;
}

void JsonReader::end() {
  if (peek() != '\0' || at_ < text_.size()) malformed("text after the end");
}

void JsonReader::open(char bracket) {
  expect(bracket);
  if (++depth_ > rules_.depth) {
    fail("nested deeper than " + std::to_string(rules_.depth) + " levels");
  }
  first_ = true;
}

void JsonReader::begin_object() { open('{'); }

void JsonReader::begin_array() { open('['); }

bool JsonReader::next_item(char closing) {
  const bool first = std::exchange(first_, false);
  if (peek() == closing) {
    ++at_;
    --depth_;
    return false;
  }
  if (!first) expect(',');
  return true;
}

bool JsonReader::next_key(std::string& key) {
  if (!next_item('}')) return false;
  if (peek() != '"') malformed("a key is missing");
  string(key);
  expect(':');
  return true;
}

bool JsonReader::next_element() { return next_item(']'); }

std::string JsonReader::string() {
  std::string out;
  take_string(&out);
  return out;
}

void JsonReader::string(std::string& out) {
  out.clear();
  take_string(&out);
}

void JsonReader::take_string(std::string* out) {
  if (peek() != '"') malformed("a string is missing");
  ++at_;
  for (;;) {
    const std::size_t begin = at_;
    const auto is_plain = [this](char c) {
      return c != '"' && c != '\\' && (rules_.any_bytes || static_cast<unsigned char>(c) >= 0x20);
    };
    while (at_ < text_.size() && is_plain(text_[at_])) ++at_;
    const std::string_view part = text_.substr(begin, at_ - begin);
    if (!rules_.any_bytes && valid_utf8_prefix(part) != part.size()) malformed("invalid UTF-8");
    if (out) *out += part;
    if (at_ == text_.size()) malformed("a string without an end");
    const char c = text_[at_++];
    if (c == '"') return;
    if (c != '\\') malformed("a control character in a string");
    escaped(out);
  }
}

// What follows a backslash.
void JsonReader::escaped(std::string* out) {
  static constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
  const char name = at_ < text_.size() ? text_[at_++] : '\0';
  if (name == 'u') {
    const char32_t c = unicode_escape();
    if (out) append_utf8(c, *out);
    return;
  }
  const std::size_t which = kNames.find(name);
  if (which == std::string_view::npos) malformed("unknown escape");
  if (out) *out += kValues[which];
}

char32_t JsonReader::unicode_escape() {
  const char32_t unit = hex4();
  if (unit < 0xD800 || unit > 0xDFFF) return unit;
  if (unit < 0xDC00 && text_.substr(at_).starts_with("\\u")) {
    const std::size_t before = std::exchange(at_, at_ + 2);
    const char32_t low = hex4();
    if (low >= 0xDC00 && low <= 0xDFFF) return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    at_ = before;
  }
  if (!rules_.any_bytes) malformed("a lone surrogate");
  return 0xFFFD;
}

char32_t JsonReader::hex4() {
  if (text_.size() - at_ < 4) malformed("half an escape");
  char32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = text_[at_++];
    const int digit = c >= '0' && c <= '9'                     ? c - '0'
                      : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                               : -1;
    if (digit < 0) malformed("\\u without four hex digits");
    value = value << 4 | static_cast<char32_t>(digit);
  }
  return value;
}

bool JsonReader::take_word(std::string_view word) {
  peek();
  if (!text_.substr(at_).starts_with(word)) return false;
  at_ += word.size();
  return true;
}

bool JsonReader::boolean() {
  if (take_word("true")) return true;
  if (!take_word("false")) malformed("not a value");
  return false;
}

void JsonReader::null() {
  if (!take_word("null")) malformed("not a value");
}

void JsonReader::digits() {
  const std::size_t begin = at_;
  while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
  if (at_ == begin) malformed("not a number");
}

// Passes over a number of RFC 8259.
void JsonReader::number_text() {
  const auto is = [this](char c) { return at_ < text_.size() && text_[at_] == c; };
  if (is('-')) ++at_;
  if (is('0')) {
    ++at_;
  } else {
    digits();
  }
  if (is('.')) ++at_, digits();
  if (is('e') || is('E')) {
    ++at_;
    if (is('+') || is('-')) ++at_;
    digits();
  }
}

JsonReader::Number JsonReader::number() {
  if (peek() == '\0' && at_ == text_.size()) malformed("the text ends too early");
  if (rules_.python_numbers) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (take_word("NaN")) return std::numeric_limits<double>::quiet_NaN();
    if (take_word("Infinity")) return kInfinity;
    if (take_word("-Infinity")) return -kInfinity;
  }
  const std::size_t begin = at_;
  if (text_[at_] != '-' && (text_[at_] < '0' || text_[at_] > '9')) malformed("not a value");
  number_text();
  const std::string text(text_.substr(begin, at_ - begin));
  const auto parse = [&text](auto& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
  };
  std::uint64_t natural = 0;
  if (parse(natural)) return natural;
  std::int64_t whole = 0;
  if (parse(whole)) return whole;
  const double real = std::strtod(text.c_str(), nullptr);  // unlike from_chars, 1e-999 is 0
  if (!std::isfinite(real)) malformed("a number beyond the range of double precision");
  return real;
}

std::uint32_t JsonReader::unsigned_integer() {
  const char first = peek();
  if (first != '-' && (first < '0' || first > '9')) fail("not a natural number");
  const Number value = number();
  const auto* natural = std::get_if<std::uint64_t>(&value);
  if (!natural) fail("not a natural number");
  if (*natural > 0xFFFFFFFFu) fail("a number of more than 32 bits");
  return static_cast<std::uint32_t>(*natural);
}

void JsonReader::scalar() {
  switch (peek()) {
    case '"':
      return take_string(nullptr);
    case 't':
    case 'f':
      boolean();
      return;
    case 'n':
      return null();
    case '-':
      if (!rules_.python_numbers || !take_word("-Infinity")) number_text();
      return;
    case 'N':
    case 'I':
      if (rules_.python_numbers && (take_word("NaN") || take_word("Infinity"))) return;
      [[fallthrough]];
    default:
      if (at_ == text_.size()) malformed("the text ends too early");
      if (text_[at_] < '0' || text_[at_] > '9') malformed("not a value");
      number_text();
  }
}

void JsonReader::skip_key() {
  if (peek() != '"') malformed("a key is missing");
  take_string(nullptr);
  expect(':');
}

// Keeps its own stack: a text of brackets must not exhaust the program's.
void JsonReader::skip() {
  std::string open_brackets;
  const auto enter_item = [&] {
    if (open_brackets.back() == '{') skip_key();
  };
  for (;;) {
    const char c = peek();
    if (c == '{' || c == '[') {
      open(c);
      open_brackets += c;
      if (peek() != closing(c)) {
        enter_item();
        continue;
      }
    } else {
      scalar();
    }
    // A value has ended, or a container is empty: so may those around it.
    for (;;) {
      if (open_brackets.empty()) {
        first_ = false;
        return;
      }
      const char next = peek();
      if (next == closing(open_brackets.back())) {
        ++at_;
        --depth_;
        open_brackets.pop_back();
      } else {
        expect(',');
        enter_item();
        break;
      }
    }
  }
}

JsonReader JsonReader::value() {
  peek();
  line();  // counted here, and not by each part from the start
  JsonReader part = *this;
  skip();
  part.text_ = text_.substr(0, at_);
  return part;
}

}  // namespace ingot

// A pull parser for JSON, for files whose bulk is a few long lists: values are taken as they come
// and nothing is stored. Strict (RFC 8259, UTF-8, no lone surrogates), nesting bounded; Error(data)
// with the line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ingot {

class JsonReader {
 public:
  // Both must outlive the reader.
  JsonReader(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  // begin_object(); while (next_key(key)) { ... take the value ... }
  void begin_object();
  bool next_key(std::string& key);
  void begin_array();
  bool next_element();

  std::string string();
  std::uint32_t unsigned_integer();  // at most 2^32 - 1

  // The text of the whole value that comes next. Its syntax is checked.
  std::string_view value();
  // The first character of the value that comes next: one of {["-0..9tfn, or 0 at the end.
  char peek();
  // Only white space may be left.
  void end();

  [[noreturn]] void fail(const std::string& what) const;

 private:
  void skip_value();
  void skip_string();
  void skip_number();
  void expect(char c);
  bool next_item(char closing);
  char32_t hex4();
  void escaped(std::string& out);

  static constexpr int kMaxDepth = 64;
  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
  bool first_ = false;  // directly after { or [
};

}  // namespace ingot

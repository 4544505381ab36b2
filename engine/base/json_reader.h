// A pull parser for JSON: values are taken as they come and nothing is stored, so that files whose
// bulk is a few long lists, or a line that only one field is wanted of, cost no tree. Every reading
// of JSON in ingot goes through it (engine/base/json.h builds trees with it).
//
// Strict (RFC 8259), but for what JsonRules lets pass; it never recurses, and never crashes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "engine/base/error.h"

namespace ingot {

struct JsonRules {
  int depth = 64;               // deepest nesting of arrays and objects
  bool python_numbers = false;  // NaN, Infinity and -Infinity, as Python's json writes them
  // Strings may hold bytes that are not UTF-8, kept as they are, control characters and lone
  // surrogate escapes, which become U+FFFD.
  bool any_bytes = false;
};

class JsonReader {
 public:
  using Number = std::variant<std::uint64_t, std::int64_t, double>;  // the first that holds it

  // Errors are Error(code) that name `where` and the line. A byte order mark at the start is
  // skipped. `text` must outlive the reader.
  JsonReader(std::string_view text, std::string where, ErrorCode code = ErrorCode::data,
             const JsonRules& rules = {});

  // begin_object(); while (next_key(key)) { ... take the value ... }
  void begin_object();
  bool next_key(std::string& key);
  void begin_array();
  bool next_element();

  std::string string();
  void string(std::string& out);  // replaces out
  bool boolean();
  void null();
  Number number();                   // Error for a real one beyond the range of double
  std::uint32_t unsigned_integer();  // at most 2^32 - 1

  // Passes over the whole value that comes next; its syntax is checked.
  void skip();
  // The same, and gives a reader of that value alone.
  JsonReader value();
  // The first character of the value that comes next: one of {["-0..9tfn (NI), or 0 at the end.
  char peek();
  // Only white space may be left.
  void end();

  // Of what was read last, counted from 1.
  int line();
  // Bytes of the text that were read.
  std::size_t position() const { return at_; }
  const std::string& where() const { return where_; }
  ErrorCode code() const { return code_; }

  // Error(code): WHAT (WHERE:LINE): mend.
  [[noreturn]] void fail(const std::string& what, const std::string& mend = "");
  // The same for a text that is no JSON.
  [[noreturn]] void malformed(const std::string& what);

 private:
  void expect(char c);
  bool next_item(char closing);
  void open(char bracket);
  void take_string(std::string* out);
  void escaped(std::string* out);
  char32_t unicode_escape();
  char32_t hex4();
  bool take_word(std::string_view word);
  void digits();
  void number_text();
  void scalar();
  void skip_key();

  std::string_view text_;
  std::string where_;
  ErrorCode code_;
  JsonRules rules_;
  std::size_t at_ = 0;
  std::size_t counted_ = 0;  // newlines before it are in line_
  int line_ = 1;
  int depth_ = 0;
  bool first_ = false;  // directly after { or [
};

}  // namespace ingot

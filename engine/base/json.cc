#include "engine/base/json.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "engine/base/mistakes.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

// A pointer longer than this gets its ancestor's line: it bounds the memory that the lines of a
// hostile file (one huge key above many small ones) can take.
constexpr std::size_t kLongestPointer = 512;

// Walks the text for nlohmann's lexer and counts lines. `line` is that of the last character but
// one: the lexer reads one ahead to see where a number ends, and nowhere else.
struct Cursor {
  int line = 1;
  bool after_newline = false;
};

class CharIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CharIterator(const char* position, Cursor* cursor) : position_(position), cursor_(cursor) {}
  reference operator*() const { return *position_; }
  CharIterator& operator++() {
    cursor_->line += cursor_->after_newline;
    cursor_->after_newline = *position_ == '\n';
    ++position_;
    return *this;
  }
  bool operator==(const CharIterator& other) const { return position_ == other.position_; }
  bool operator!=(const CharIterator& other) const { return position_ != other.position_; }

 private:
  const char* position_;
  Cursor* cursor_;
};

// "[json.exception...] parse error at line 3, column 5: syntax error while parsing value - invalid
// literal; last read: 'tru}'; expected ..." -> "invalid literal; expected ...".
std::string core_of(const std::string& message) {
  std::string core = message;
  if (const auto at = core.find(" - "); at != std::string::npos) core = core.substr(at + 3);
  if (const auto at = core.find("; last read: '"); at != std::string::npos) {
    const auto expected = core.rfind("; expected ");
    const bool after = expected != std::string::npos && expected > at;
    core = core.substr(0, at) + (after ? core.substr(expected) : "");
  }
  return core;
}

// Builds the value, and knows where the parser stands: the keys and indices from the root down.
class Builder : public Json::json_sax_t {
 public:
  Builder(const std::string& name, ErrorCode code, const JsonLimits& limits, const Cursor& cursor,
          JsonLines* lines)
      : name_(name), code_(code), limits_(limits), cursor_(cursor), lines_(lines) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(std::int64_t value) override { return add(value); }
  bool number_unsigned(std::uint64_t value) override { return add(value); }
  bool number_float(double value, const std::string&) override { return add(value); }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(Json::binary_t&) override { return false; }  // JSON text has none

  bool start_object(std::size_t) override { return open(Json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }

  bool key(std::string& value) override {
    Level& level = levels_.back();
    level.key = value;
    const bool repeated = level.value->contains(value);
    const std::string pointer = lines_ || repeated ? level.pointer + pointer_step(value) : "";
    if (repeated) {
      if (!lines_) {
        throw Error(code_, "key \"" + clipped(value) + "\" is given twice", place(),
                    "remove one of them");
      }
      lines_->duplicates.push_back({pointer, lines_->line_of(pointer), cursor_.line});
    }
    record(pointer);
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception& error) override {
    throw Error(code_, "not valid JSON: " + core_of(error.what()), place());
  }

 private:
  struct Level {
    Json* value;          // the open array or object
    std::string pointer;  // to it; kept only if lines are wanted
    std::string key;      // the last one read (objects)
  };

  std::string place() const { return name_ + ":" + std::to_string(cursor_.line); }

  void record(const std::string& pointer) {
    if (lines_ && pointer.size() <= kLongestPointer) lines_->lines[pointer] = cursor_.line;
  }

  std::string pointer_below(const Level& level) const {
    if (level.value->is_object()) return level.pointer + pointer_step(level.key);
    return level.pointer + "/" + std::to_string(level.value->size());
  }

  Json* place_value(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
      record("");
      return &root_;
    }
    Level& level = levels_.back();
    if (level.value->is_object()) return &((*level.value)[level.key] = std::move(value));
    if (lines_) record(pointer_below(level));
    level.value->push_back(std::move(value));
    return &level.value->back();
  }

  bool add(Json value) {
    place_value(std::move(value));
    return true;
  }

  bool open(Json value) {
    if (static_cast<int>(levels_.size()) >= limits_.depth) {
      throw Error(code_, "nested deeper than " + std::to_string(limits_.depth) + " levels",
                  place());
    }
    std::string pointer = lines_ && !levels_.empty() ? pointer_below(levels_.back()) : "";
    if (pointer.size() > kLongestPointer) pointer.resize(kLongestPointer + 1);  // never recorded
    Json* const placed = place_value(std::move(value));
    levels_.push_back({placed, std::move(pointer), ""});
    return true;
  }

  bool close() {
    levels_.pop_back();
    return true;
  }

  const std::string& name_;
  const ErrorCode code_;
  const JsonLimits& limits_;
  const Cursor& cursor_;
  JsonLines* const lines_;
  Json root_;
  std::vector<Level> levels_;
};

std::string size_text(std::size_t bytes) {
  return bytes >= (1u << 20) ? std::to_string(bytes >> 20) + " MiB"
                             : std::to_string(bytes) + " bytes";
}

}  // namespace

int JsonLines::line_of(std::string_view pointer) const {
  for (;;) {
    if (const auto found = lines.find(std::string(pointer)); found != lines.end()) {
      return found->second;
    }
    const auto slash = pointer.rfind('/');
    if (slash == std::string_view::npos) return 1;
    pointer = pointer.substr(0, slash);
  }
}

std::string pointer_step(std::string_view key) {
  std::string step = "/";
  for (const char c : key) {
    if (c == '~') {
      step += "~0";
    } else if (c == '/') {
      step += "~1";
    } else {
      step += c;
    }
  }
  return step;
}

Json parse_json(std::string_view text, const std::string& name, ErrorCode code,
                const JsonLimits& limits, JsonLines* lines) {
  if (text.size() > limits.bytes) {
    throw Error(code, "larger than " + size_text(limits.bytes), name);
  }
  Cursor cursor;
  Builder builder(name, code, limits, cursor, lines);
  const CharIterator begin(text.data(), &cursor), end(text.data() + text.size(), &cursor);
  if (!Json::sax_parse(begin, end, &builder)) throw Error(code, "not valid JSON", name);
  return builder.take();
}

std::string read_text(const std::filesystem::path& path, ErrorCode code, std::size_t limit) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  if (!std::filesystem::exists(status)) {
    throw Error(code, "no such file", path.string(), "check the path");
  }
  // A device or pipe could block or never end.
  if (!std::filesystem::is_regular_file(status)) {
    throw Error(code, "not a file", path.string(), "name a file");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(code, "can't be opened for reading", path.string());
  std::string text;
  for (char block[1 << 16]; text.size() <= limit && file;) {
    const std::size_t wanted = std::min(sizeof block, limit + 1 - text.size());
    file.read(block, static_cast<std::streamsize>(wanted));
    text.append(block, static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad()) throw Error(code, "can't be read", path.string());
  if (text.size() > limit) throw Error(code, "larger than " + size_text(limit), path.string());
  return text;
}

Json read_json(const std::filesystem::path& path, ErrorCode code, const JsonLimits& limits,
               JsonLines* lines) {
  return parse_json(read_text(path, code, limits.bytes), path.string(), code, limits, lines);
}

}  // namespace ingot

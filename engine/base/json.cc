#include "engine/base/json.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "engine/base/mistakes.h"
#include "engine/base/read_text.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

// A pointer longer than this gets its ancestor's line: it bounds the memory that the lines of a
// hostile file (one huge key above many small ones) can take.
constexpr std::size_t kLongestPointer = 512;

class TreeReader {
 public:
  TreeReader(JsonReader& reader, const JsonLimits& limits, JsonLines* lines)
      : reader_(reader), limits_(limits), lines_(lines) {}

  // The reader bounds the depth of this recursion.
  Json read(const std::string& pointer) {
    if (++values_ > limits_.values) {
      reader_.fail("holds more than " + std::to_string(limits_.values) + " values");
    }
    switch (reader_.peek()) {
      case '{':
        return object(pointer);
      case '[':
        return array(pointer);
      case '"':
        return reader_.string();
      case 't':
      case 'f':
        return reader_.boolean();
      case 'n':
        reader_.null();
        return nullptr;
      default:
        return std::visit([](auto number) { return Json(number); }, reader_.number());
    }
  }

  void record(const std::string& pointer) {
    if (lines_ && pointer.size() <= kLongestPointer) lines_->lines[pointer] = reader_.line();
  }

 private:
  Json object(const std::string& pointer) {
    Json object = Json::object();
    std::string key;
    reader_.begin_object();
    while (reader_.next_key(key)) {
      const std::string below = lines_ ? step_down(pointer, pointer_step(key)) : "";
      if (object.contains(key)) repeated(key, below);
      record(below);
      object[key] = read(below);
    }
    return object;
  }

  Json array(const std::string& pointer) {
    Json array = Json::array();
    reader_.begin_array();
    while (reader_.next_element()) {
      reader_.peek();
      const std::string below =
          lines_ ? step_down(pointer, "/" + std::to_string(array.size())) : "";
      record(below);
      array.push_back(read(below));
    }
    return array;
  }

  // One that is too long is never recorded, nor is anything below it.
  static std::string step_down(const std::string& pointer, const std::string& step) {
    return pointer.size() > kLongestPointer ? pointer
                                            : (pointer + step).substr(0, kLongestPointer + 1);
  }

  void repeated(const std::string& key, const std::string& pointer) {
    if (!lines_) {
      reader_.fail("key \"" + clipped(key) + "\" is given twice", "remove one of them");
    }
    lines_->duplicates.push_back({pointer, lines_->line_of(pointer), reader_.line()});
  }

  JsonReader& reader_;
  const JsonLimits& limits_;
  JsonLines* const lines_;
  std::size_t values_ = 0;
};

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

Json read_json(JsonReader& reader, const JsonLimits& limits, JsonLines* lines) {
  TreeReader tree(reader, limits, lines);
  reader.peek();
  tree.record("");
  return tree.read("");
}

Json parse_json(std::string_view text, const std::string& name, ErrorCode code,
                const JsonLimits& limits, JsonLines* lines) {
  if (text.size() > limits.bytes) {
    throw Error(code, "larger than " + size_text(limits.bytes), name);
  }
  JsonReader reader(text, name, code,
                    {.depth = limits.depth, .python_numbers = limits.python_numbers});
  Json json = read_json(reader, limits, lines);
  reader.end();
  return json;
}

Json read_json(const std::filesystem::path& path, ErrorCode code, const JsonLimits& limits,
               JsonLines* lines) {
  return parse_json(read_text(path, code, limits.bytes), path.string(), code, limits, lines);
}

}  // namespace ingot

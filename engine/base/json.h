// JSON text that came from outside: run configs, config.json, tokenizer.json, manifests. A parse
// either succeeds within stated limits or throws one ingot::Error that names file and line; it
// never crashes, and never recurses deeper than the limit.
//
// The values are nlohmann::json; include <nlohmann/json.hpp> in .cc files only (slow to compile).
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/json_reader.h"

namespace ingot {

struct JsonLimits {
  std::size_t bytes = std::size_t{64} << 20;  // longest text
  int depth = 64;                             // deepest nesting of arrays and objects
  std::size_t values = 4'000'000;             // some 64 bytes each
  bool python_numbers = false;                // NaN, Infinity and -Infinity are read
};

// Where the values of a document stand. Keys are JSON pointers: "" is the root, "/data/train/0" a
// value below it ("~1" for a slash in a key, "~0" for a tilde).
struct JsonLines {
  struct Duplicate {
    std::string pointer;  // of the key given twice
    int first_line, line;
  };

  std::unordered_map<std::string, int> lines;  // counted from 1
  std::vector<Duplicate> duplicates;           // the last value of a repeated key counts

  // Line of the value at `pointer`, or of its nearest ancestor that stands in the file.
  int line_of(std::string_view pointer) const;
};

// Parses one JSON value (UTF-8, no comments, nothing behind it). `name` is what messages call the
// text. A key given twice is an error; with `lines` it is listed there instead, so that a caller
// can report all mistakes at once. Throws Error(code).
nlohmann::json parse_json(std::string_view text, const std::string& name, ErrorCode code,
                          const JsonLimits& limits = {}, JsonLines* lines = nullptr);

// Reads and parses a regular file. A missing or unreadable file, or one above limits.bytes, is an
// Error(code) as well.
nlohmann::json read_json(const std::filesystem::path& path, ErrorCode code,
                         const JsonLimits& limits = {}, JsonLines* lines = nullptr);

// The value that comes next, as a tree. `lines`: as above.
nlohmann::json read_json(JsonReader& reader, const JsonLimits& limits = {},
                         JsonLines* lines = nullptr);

// One step of a JSON pointer: "/" and the key, escaped.
std::string pointer_step(std::string_view key);

}  // namespace ingot

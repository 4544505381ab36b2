// What kind of text a file holds, by its first bytes: names lie.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ingot {

inline constexpr std::size_t kBinaryProbe = 4096;                // bytes
inline constexpr std::size_t kJsonProbe = std::size_t{1} << 20;  // bytes

struct BinaryKind {
  const char* name = nullptr;  // "Parquet file"; null: it may be text
  const char* mend = "";       // what the user can do
};

// By what is known of formats, or by a NUL byte. block: the file's first kBinaryProbe bytes.
BinaryKind binary_kind(std::string_view block);

struct JsonKind {
  bool objects = false;    // one object, several, or an array of objects
  bool has_field = false;  // the first has the field, a string or null
  bool spread = false;     // they are not one a line: an array, or objects of several lines
};

// block: the first kJsonProbe bytes, decompressed.
JsonKind json_kind(std::string_view block, std::string_view field);

// "a.JSONL.gz" has the ending "jsonl": lower case, without what says how it is compressed.
std::string text_ending(std::string_view path);

}  // namespace ingot

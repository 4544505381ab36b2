// Names of files that come from files.
#pragma once

#include <string_view>

namespace ingot {

// Whether `name` is that of a file in the same folder: not empty, no path, not hidden, no control
// characters, at most 255 bytes.
constexpr bool is_plain_file_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name.front() == '.') return false;
  for (const char c : name) {
    if (c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20) return false;
  }
  return true;
}

}  // namespace ingot

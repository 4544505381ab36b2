// Small files as a whole.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "engine/base/error.h"

namespace ingot {

// The content of a regular file, byte for byte. Error(code) when it is missing, no file (a folder,
// a device or a pipe, which could block or never end), unreadable, or larger than `limit` bytes.
std::string read_text(const std::filesystem::path& path, ErrorCode code, std::size_t limit);

// "5 bytes", "3 MiB", for messages about limits.
std::string size_text(std::size_t bytes);

}  // namespace ingot

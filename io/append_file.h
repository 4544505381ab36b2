// A file that grows by whole lines, for logs, on a disk that may be full for a while: lines that it
// refuses wait in memory and are written, in their order, as soon as it takes them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "io/file_descriptor.h"

namespace ingot {

class AppendFile {
 public:
  // Bytes that wait at most; lines beyond are lost, and counted.
  static constexpr std::size_t kMostWaiting = std::size_t{1} << 16;

  // Creates the file if it is not there. Throws Error(device).
  explicit AppendFile(std::filesystem::path path);

  // Whether this line and all that waited are in the file. Allocates nothing, throws nothing.
  bool append(std::string_view line);

  // Why the last append() was false, an errno.
  int error() const { return error_; }
  std::int64_t lost_lines() const { return lost_lines_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::size_t write_some(std::string_view text);

  std::filesystem::path path_;
  FileDescriptor file_;
  std::array<char, kMostWaiting> waiting_;  // first what is missing of a line that is there in part
  std::size_t waiting_bytes_ = 0;
  std::int64_t lost_lines_ = 0;
  int error_ = 0;
};

}  // namespace ingot

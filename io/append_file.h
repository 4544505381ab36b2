// A file that grows by whole lines, for logs: each append is one write, so a line is there or not.
#pragma once

#include <filesystem>
#include <string_view>

namespace ingot {

class AppendFile {
 public:
  // Creates the file if it is not there. Throws Error(device).
  explicit AppendFile(std::filesystem::path path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // Allocates nothing unless it fails. Throws Error(device), e.g. when the disk is full.
  void append(std::string_view text);

 private:
  std::filesystem::path path_;
  int descriptor_;
};

}  // namespace ingot

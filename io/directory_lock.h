// One writer at a time in a directory: a second process, of this machine or of another that shares
// the file system, is told so instead of mixing its files with the first one's.
#pragma once

#include <filesystem>
#include <string>

#include "io/file_descriptor.h"

namespace ingot {

// A lock on DIRECTORY/.lock, which says who holds it. Held until it is destroyed or the process
// ends, however it ends; the file goes with it, unless the process is killed.
class DirectoryLock {
 public:
  DirectoryLock() = default;
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  ~DirectoryLock();

  // Once the directory is there; nothing before that, or when it is held already. False when
  // another process, or another lock of this one, holds it. Error(device) when the directory may
  // not be written to.
  [[nodiscard]] bool take(const std::filesystem::path& directory);

  // After take() gave false: "process 123 on HOST, since 2026-11-30 01:02:03 UTC".
  const std::string& holder() const { return holder_; }
  // Set where the file system knows no locks: nobody is kept out.
  bool is_without_effect() const { return is_without_effect_; }

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  std::string holder_;
  bool is_without_effect_ = false;
};

}  // namespace ingot

// One writer at a time in a directory: a second process is told so instead of mixing its files with
// the first one's.
#pragma once

#include <filesystem>

#include "io/file_descriptor.h"

namespace ingot {

// Held until it is destroyed or the process ends, however it ends; leaves no file behind. File
// systems that know no locks give none.
class DirectoryLock {
 public:
  // Once the directory is there; nothing before that, or when it is held already. False when
  // another process, or another lock of this one, holds it.
  [[nodiscard]] bool take(const std::filesystem::path& directory);

 private:
  FileDescriptor directory_;
};

}  // namespace ingot

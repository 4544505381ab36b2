#include "io/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <utility>

namespace ingot {

bool DirectoryLock::take(const std::filesystem::path& directory) {
  if (directory_.is_open()) return true;
  FileDescriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.is_open()) return true;
  if (::flock(opened.number(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
  directory_ = std::move(opened);
  return true;
}

}  // namespace ingot

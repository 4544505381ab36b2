#include "io/directory_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "engine/base/error.h"
#include "io/atomic_file.h"

namespace ingot {
namespace {

constexpr const char* kLockFile = ".lock";

// Of this open file, not of the process: a second lock in one process is refused as well.
bool lock(const FileDescriptor& file) {
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  return ::fcntl(file.number(), F_OFD_SETLK, &whole) == 0;
}

std::string this_process() {
  std::array<char, 256> host = {};
  ::gethostname(host.data(), host.size() - 1);
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> time = {};
  std::strftime(time.data(), time.size(), "%F %T", &utc);
  return "process " + std::to_string(::getpid()) + " on " + host.data() + ", since " + time.data() +
         " UTC";
}

std::string line_in(const FileDescriptor& file) {
  std::array<char, 512> text = {};
  const ssize_t count = ::pread(file.number(), text.data(), text.size(), 0);
  const std::string line(text.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
  return line.empty() ? "a process that did not say more" : line.substr(0, line.find('\n'));
}

// Whoever held the lock before may have removed the file while we waited for it.
bool is_still_named(const FileDescriptor& file, const std::filesystem::path& path) {
  struct stat ours = {}, there = {};
  return ::fstat(file.number(), &ours) == 0 && ::stat(path.c_str(), &there) == 0 &&
         ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

}  // namespace

DirectoryLock::~DirectoryLock() {
  if (file_.is_open() && !is_without_effect_) ::unlink(path_.c_str());
}

bool DirectoryLock::take(const std::filesystem::path& directory) {
  if (file_.is_open()) return true;
  path_ = directory / kLockFile;
  for (;;) {
    FileDescriptor file(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (!file.is_open() && errno == ENOENT) return true;  // no directory yet
    if (!file.is_open() && errno == ENOTDIR) {
      throw Error(ErrorCode::data, "Not a directory", directory.string(),
                  "choose a folder, or a path where there is nothing yet");
    }
    if (!file.is_open()) throw_disk_error("cannot lock the folder", errno, directory);
    if (!lock(file)) {
      if (errno == EAGAIN || errno == EACCES) {
        holder_ = line_in(file);
        return false;
      }
      is_without_effect_ = true;
    } else if (!is_still_named(file, path_)) {
      continue;
    }
    const std::string line = this_process() + "\n";
    if (::ftruncate(file.number(), 0) != 0 ||
        ::pwrite(file.number(), line.data(), line.size(), 0) < 0) {
      // A full disk: the lock holds all the same, and only says less.
    }
    file_ = std::move(file);
    return true;
  }
}

}  // namespace ingot

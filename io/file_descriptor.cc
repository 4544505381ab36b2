#include "io/file_descriptor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "engine/base/error.h"

namespace ingot {

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    close();
    number_ = std::exchange(other.number_, -1);
  }
  return *this;
}

FileDescriptor::~FileDescriptor() { close(); }

int FileDescriptor::close() {
  if (number_ < 0) return 0;
  const int status = ::close(std::exchange(number_, -1));
  return status == 0 || errno == EINTR ? 0 : errno;  // Linux has closed it even on EINTR
}

std::string describe_errno(int error) { return std::generic_category().message(error); }

FileDescriptor open_for_reading(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) {
    const int error = errno;
    throw Error(ErrorCode::data, "cannot open: " + describe_errno(error), path.string(),
                error == ENOENT ? "check the path" : "check the path and its permissions");
  }
  struct stat status;
  if (::fstat(file.number(), &status) != 0) {
    throw Error(ErrorCode::data, "cannot open: " + describe_errno(errno), path.string());
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorCode::data, S_ISDIR(status.st_mode) ? "is a folder" : "is not a regular file",
                path.string(), "name a file");
  }
  return file;
}

std::uint64_t size_of_file(const FileDescriptor& file, const std::filesystem::path& path) {
  struct stat status;
  if (::fstat(file.number(), &status) != 0) {
    throw Error(ErrorCode::data, "cannot find its size: " + describe_errno(errno), path.string());
  }
  return static_cast<std::uint64_t>(status.st_size);
}

std::size_t read_some(const FileDescriptor& file, std::span<std::byte> buffer,
                      const std::filesystem::path& path) {
  for (;;) {
    const ssize_t count = ::read(file.number(), buffer.data(), buffer.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) {
      throw Error(ErrorCode::data, "cannot read: " + describe_errno(errno), path.string(),
                  "the disk may be damaged");
    }
  }
}

void forget_cached_pages(const FileDescriptor& file) {
  ::posix_fadvise(file.number(), 0, 0, POSIX_FADV_DONTNEED);
}

}  // namespace ingot

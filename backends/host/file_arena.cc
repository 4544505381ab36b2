#include "backends/host/file_arena.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "engine/base/align.h"
#include "engine/base/error.h"
#include "io/file_descriptor.h"

namespace ingot {
namespace {

[[noreturn]] void refuse(const std::string& what, const std::filesystem::path& folder) {
  throw Error(ErrorCode::device, "cannot offload " + what, folder.string(),
              "set memory.offload_directory to a folder on a disk with room, or memory.offload to "
              "\"none\"");
}

FileDescriptor open_nameless(const std::filesystem::path& folder) {
  FileDescriptor file(open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file.is_open()) return file;
  if (errno != EOPNOTSUPP && errno != EISDIR) {
    refuse("to this folder: " + describe_errno(errno), folder);
  }
  // File systems without nameless files: a name for as long as it takes to remove it.
  std::string name = (folder / "offload-XXXXXX").string();
  file = FileDescriptor(mkostemp(name.data(), O_CLOEXEC));
  if (!file.is_open()) refuse("to this folder: " + describe_errno(errno), folder);
  unlink(name.c_str());
  return file;
}

struct Pages {
  void* first;
  std::size_t bytes;
};

// The whole pages around these bytes.
Pages pages_of(std::span<const std::byte> bytes) {
  static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(bytes.data()) / page * page;
  const auto last = reinterpret_cast<std::uintptr_t>(bytes.data()) + bytes.size();
  return {reinterpret_cast<void*>(first), last - first};
}

}  // namespace

FileArena::FileArena(std::int64_t bytes, const std::filesystem::path& folder) {
  if (bytes == 0) return;
  const FileDescriptor file = open_nameless(folder);
  struct statfs disk;
  if (fstatfs(file.number(), &disk) == 0 && disk.f_type == TMPFS_MAGIC) {
    refuse("to memory (tmpfs), which would free none", folder);
  }
  const std::int64_t size = align_up(bytes, sysconf(_SC_PAGESIZE));
  if (const int error = posix_fallocate(file.number(), 0, size); error != 0) {
    refuse(std::to_string(size) + " bytes: " + describe_errno(error), folder);
  }
  void* const mapped = mmap(nullptr, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE,
                            MAP_SHARED, file.number(), 0);
  if (mapped == MAP_FAILED) {
    refuse(std::to_string(size) + " bytes: " + describe_errno(errno), folder);
  }
  data_ = static_cast<std::byte*>(mapped);
  size_ = size;
}

FileArena::FileArena(FileArena&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

FileArena& FileArena::operator=(FileArena&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

FileArena::~FileArena() {
  if (data_ != nullptr) munmap(data_, static_cast<std::size_t>(size_));
}

void release_pages(std::span<const std::byte> bytes) {
  const Pages pages = pages_of(bytes);
  madvise(pages.first, pages.bytes, MADV_DONTNEED);
}

void read_ahead(std::span<const std::byte> bytes) {
  const Pages pages = pages_of(bytes);
  madvise(pages.first, pages.bytes, MADV_WILLNEED);
}

}  // namespace ingot

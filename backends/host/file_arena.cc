#include "backends/host/file_arena.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

// Where the file arenas of this process lie.
struct Mapped {
  std::byte* data;
  std::int64_t size;
  int file;
};
struct Register {
  std::mutex mutex;
  std::vector<Mapped> all;
};
Register& arenas() {
  static Register all;
  return all;
}

std::optional<Mapped> arena_of(const std::byte* address) {
  Register& known = arenas();
  const std::lock_guard lock(known.mutex);
  for (const Mapped& arena : known.all) {
    if (address >= arena.data && address < arena.data + arena.size) return arena;
  }
  return std::nullopt;
}

// transfer(done, count, offset): as pread and pwrite.
template <class Transfer>
void transfer_all(std::int64_t bytes, std::int64_t offset, const Transfer& transfer) {
  for (std::int64_t done = 0; done < bytes;) {
    const ssize_t count = transfer(done, static_cast<std::size_t>(bytes - done), offset + done);
    if (count > 0) {
      done += count;
    } else if (count == 0 || errno != EINTR) {
      throw Error(ErrorCode::device,
                  "the file of what is offloaded: " + describe_errno(count == 0 ? EIO : errno),
                  "memory.offload_directory", "check the disk");
    }
  }
}

}  // namespace

FileArena::FileArena(std::int64_t bytes, const std::filesystem::path& folder) {
  if (bytes == 0) return;
  FileDescriptor file = open_nameless(folder);
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
  file_ = std::move(file);
  const std::lock_guard lock(arenas().mutex);
  arenas().all.push_back({data_, size_, file_.number()});
}

FileArena::FileArena(FileArena&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      file_(std::move(other.file_)) {}

FileArena& FileArena::operator=(FileArena&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(file_, other.file_);
  return *this;
}

FileArena::~FileArena() {
  if (data_ == nullptr) return;
  {
    const std::lock_guard lock(arenas().mutex);
    std::erase_if(arenas().all, [this](const Mapped& arena) { return arena.data == data_; });
  }
  munmap(data_, static_cast<std::size_t>(size_));
}

void read_offloaded(const std::byte* from, std::span<std::byte> to) {
  const std::optional<Mapped> arena = arena_of(from);
  if (!arena) {
    std::memcpy(to.data(), from, to.size());
    return;
  }
  transfer_all(std::ssize(to), from - arena->data,
               [&](std::int64_t done, std::size_t count, std::int64_t offset) {
                 return pread(arena->file, to.data() + done, count, offset);
               });
}

void write_offloaded(std::byte* to, std::span<const std::byte> from) {
  const std::optional<Mapped> arena = arena_of(to);
  if (!arena) {
    std::memcpy(to, from.data(), from.size());
    return;
  }
  transfer_all(std::ssize(from), to - arena->data,
               [&](std::int64_t done, std::size_t count, std::int64_t offset) {
                 return pwrite(arena->file, from.data() + done, count, offset);
               });
}

void read_ahead(std::span<const std::byte> bytes) {
  const Pages pages = pages_of(bytes);
  madvise(pages.first, pages.bytes, MADV_WILLNEED);
}

}  // namespace ingot

#include "backends/host/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "backends/host/system_memory.h"
#include "engine/base/align.h"
#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr std::int64_t kHugePage = std::int64_t{2} << 20;

// Kernels before 5.14 don't know it; Debian 12's headers do, older ones may not.
#ifdef MADV_POPULATE_WRITE
constexpr int kPopulateWrite = MADV_POPULATE_WRITE;
#else
constexpr int kPopulateWrite = 23;
#endif

[[noreturn]] void refuse(std::int64_t bytes, const std::string& why) {
  throw Error(ErrorCode::budget, "no memory for an arena of " + std::to_string(bytes) + " bytes",
              why, "lower memory.budget or batch.micro_batch, or free memory");
}

// Every page written once, on systems that can't be asked to do it.
void touch(std::byte* data, std::int64_t size, std::int64_t page) {
  for (std::int64_t at = 0; at < size; at += page) {
    reinterpret_cast<volatile std::byte*>(data)[at] = std::byte{0};
  }
}

void populate(std::byte* data, std::int64_t size, std::int64_t page) {
  while (madvise(data, static_cast<std::size_t>(size), kPopulateWrite) != 0) {
    if (errno == EINTR || errno == EAGAIN) continue;
    if (errno != EINVAL) refuse(size, std::strerror(errno));
    touch(data, size, page);
    return;
  }
}

}  // namespace

Arena::Arena(std::int64_t bytes, const ArenaOptions& options) {
  if (bytes == 0) return;
  const std::int64_t page = sysconf(_SC_PAGESIZE);
  if (bytes < 0 || bytes > std::numeric_limits<std::int64_t>::max() / 2) {
    refuse(bytes, "not a size");
  }
  const std::int64_t size = align_up(bytes, page);
  if (options.check_available) {
    const std::int64_t room = read_system_memory().room();
    if (size > room) refuse(size, std::to_string(room) + " bytes are available");
  }
  // Mapped with a huge page to spare, so that the start can be aligned; the rest is given back.
  // Only what is left is made writable: a limit on data (RLIMIT_DATA) counts no byte more.
  const std::int64_t reserved = size + kHugePage;
  void* const mapped = mmap(nullptr, static_cast<std::size_t>(reserved), PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) refuse(size, std::strerror(errno));
  const auto address = reinterpret_cast<std::uintptr_t>(mapped);
  const auto head =
      align_up(static_cast<std::int64_t>(address), kHugePage) - static_cast<std::int64_t>(address);
  auto* const start = static_cast<std::byte*>(mapped);
  if (head > 0) munmap(start, static_cast<std::size_t>(head));
  if (head < kHugePage) {
    munmap(start + head + size, static_cast<std::size_t>(kHugePage - head));
  }
  // From here the destructor's work is ours to do if something fails: hold it in a whole Arena.
  Arena held;
  held.data_ = start + head;
  held.size_ = size;
  if (mprotect(held.data_, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE) != 0) {
    refuse(size, std::strerror(errno));
  }
  // Advice: a system without huge pages says no, and small ones serve.
  if (options.huge_pages) madvise(held.data_, static_cast<std::size_t>(size), MADV_HUGEPAGE);
  if (options.populate) populate(held.data_, size, page);
  *this = std::move(held);
}

Arena::Arena(Arena&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Arena::~Arena() {
  if (data_ != nullptr) munmap(data_, static_cast<std::size_t>(size_));
}

}  // namespace ingot

// libcount_allocations.so, for LD_PRELOAD: counts what a program takes from the heap, on all its
// threads. Each puts() (a trainer calls it for the line of a step, and for nothing else) appends
// the count so far, 8 bytes, to the file that INGOT_ALLOCATION_COUNTS names.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

std::atomic<std::uint64_t> allocations{0};

void append_count() {
  static const int file = [] {
    const char* const path = std::getenv("INGOT_ALLOCATION_COUNTS");
    return path == nullptr ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  }();
  const std::uint64_t count = allocations;
  if (file < 0 || write(file, &count, sizeof count) != sizeof count) std::abort();
}

}  // namespace

extern "C" {
// NOLINTBEGIN: glibc's own
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
// NOLINTEND
void* malloc(std::size_t size) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
void* realloc(void* block, std::size_t size) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(block, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t size) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  *block = __libc_memalign(alignment, size);
  return *block == nullptr ? ENOMEM : 0;
}

int puts(const char* line) {
  append_count();
  if (std::fputs(line, stdout) < 0) return EOF;
  return std::putc('\n', stdout);
}
}

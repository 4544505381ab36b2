// libcount_allocations.so, for LD_PRELOAD: counts what a program takes from the heap, on all its
// threads. Each puts() (a trainer calls it for the line of a step, and for nothing else) appends
// the count so far, 8 bytes, to the file that INGOT_ALLOCATION_COUNTS names.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/counted_allocations.h"

namespace {

void append_count() {
  static const int file = [] {
    const char* const path = std::getenv("INGOT_ALLOCATION_COUNTS");
    return path == nullptr ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  }();
  const std::int64_t count = ingot::heap_allocations;
  if (file < 0 || write(file, &count, sizeof count) != sizeof count) std::abort();
}

}  // namespace

extern "C" int puts(const char* line) {
  append_count();
  if (std::fputs(line, stdout) < 0) return EOF;
  return std::putc('\n', stdout);
}

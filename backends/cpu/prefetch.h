// Memory asked for before it is used, where the hardware does not guess what comes next: rows that
// are gathered, or are pieces of wider ones.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::cpu {

// Asks for the cache lines from `at` on, one for each 64 of `bytes`. They may lie anywhere: nothing
// faults.
inline void prefetch(const void* at, std::int64_t bytes) {
  constexpr std::int64_t kLine = 64;
  for (std::int64_t i = 0; i < bytes; i += kLine) {
    __builtin_prefetch(static_cast<const std::byte*>(at) + i);
  }
}

}  // namespace ingot::cpu

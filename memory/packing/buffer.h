// A buffer: a run of bytes that must stay untouched from one op of a program to another.
// memory/ packs buffers into one arena; which tensors share a buffer is the caller's business.
#pragma once

#include <cstdint>

namespace ingot {

struct Buffer {
  std::int64_t bytes;  // > 0
  std::int64_t first;  // index of the op that writes it first
  std::int64_t last;   // index of the last op that touches it, >= first; alive in both
};

}  // namespace ingot

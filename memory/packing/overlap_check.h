// The proof that a packing is sound: no two buffers alive at the same op share a byte, and every
// buffer lies in the arena. Exact, O(n log n), independent of how the offsets were found; cheap
// enough to run on every plan before anything is allocated (spec/memory.md G3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "memory/packing/buffer.h"

namespace ingot {

struct Misplacement {
  enum class Kind {
    outside,  // buffer a is not within [0, arena_bytes); b == a
    overlap,  // a and b are both alive at op and share bytes
  };
  Kind kind;
  std::size_t a, b;  // buffer indices
  std::int64_t op;   // the first op at which it happens
};

// The first misplacement in op order, or nothing. offsets: [buffers], in bytes.
// Takes the buffers' own sizes: padding may be shared. Throws Error(usage) if the lengths differ.
std::optional<Misplacement> find_misplacement(std::span<const Buffer> buffers,
                                              std::span<const std::int64_t> offsets,
                                              std::int64_t arena_bytes);

}  // namespace ingot

// Live bytes over the ops of a program, by role: where the peak is and what lies there.
// For `ingot plan` and its drawing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "memory/packing/buffer.h"

namespace ingot {

struct Timeline {
  int roles = 0;
  std::vector<std::int64_t> live_bytes;  // [ops]
  std::vector<std::int64_t> role_bytes;  // [ops, roles]; a row adds up to live_bytes
  std::int64_t peak_op = 0;              // the first op with the most live bytes
  std::int64_t peak_bytes = 0;           // == lower_bound(buffers, alignment)

  std::span<const std::int64_t> roles_at(std::int64_t op) const {
    return std::span(role_bytes).subspan(static_cast<std::size_t>(op) * roles, roles);
  }
};

// buffer_roles: [buffers], each in [0, roles). Every buffer lives within [0, ops). Sizes count
// rounded up to the alignment, as in the arena. Throws Error(usage) if a contract is broken.
Timeline make_timeline(std::span<const Buffer> buffers, std::span<const int> buffer_roles,
                       int roles, std::int64_t ops, std::int64_t alignment = 256);

// Indices of the count largest buffers alive at op, largest first (ties: lower index first); fewer
// if fewer are alive.
std::vector<std::size_t> largest_live(std::span<const Buffer> buffers, std::int64_t op,
                                      std::size_t count);

}  // namespace ingot

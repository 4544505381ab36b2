// The memory plan of a program: every tensor's place in one arena, and what there is to say of it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/program/program.h"

namespace ingot {

struct MemoryPlan {
  // By tensor id, bytes from the start of the arena, or of the other memory for offloaded tensors;
  // -1: no place.
  std::vector<std::int64_t> offsets;
  std::int64_t arena_bytes = 0;
  std::int64_t offload_bytes = 0;
  std::int64_t lower_bound_bytes = 0;  // most bytes alive at any op: no packing can be smaller

  std::size_t peak_op = 0;                         // the op at which most bytes are alive
  std::array<std::int64_t, kRoleCount> by_role{};  // bytes alive at that op
  std::vector<int> largest;                        // the ten largest tensors alive there, by id
};

// Packs the program, whose workspaces are known (BoundProgram); pack() proves that no two live
// tensors overlap. A pure function of the program. reuse = false gives every tensor its own place:
// slower to fit, for tests that compare a packed run with.
MemoryPlan plan_memory(const Program& program, bool reuse = true);

// The lower bound alone, which takes a fraction of the time.
std::int64_t least_arena_bytes(const Program& program);

}  // namespace ingot

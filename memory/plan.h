// The memory plan of a program: every tensor's place in one arena, and what there is to say of it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/execution/placement.h"
#include "engine/program/program.h"
#include "memory/lifetimes.h"

namespace ingot {

struct MemoryPlan {
  Placement placement;
  std::int64_t lower_bound_bytes = 0;  // most bytes alive at any op: no packing can be smaller

  std::int64_t frame_bytes = 0;  // of the arena: what micro-batches keep between their parts
  std::size_t peak_op = 0;       // the op at which most bytes are alive
  std::array<std::int64_t, kRoleCount> by_role{};  // bytes alive at that op
  // The ten largest tensors and workspaces alive there.
  struct Large {
    BufferOwner owner;
    std::int64_t bytes = 0;
  };
  std::vector<Large> largest;

  std::int64_t arena_bytes() const { return placement.arena_bytes(); }
  std::int64_t offload_bytes() const { return placement.offload_bytes(); }
};

// Packs the program; pack() proves that no two live tensors overlap. A pure function of the
// program, of its schedule and of the sizes its backend asks for. The arena is what lives in single
// parts or for ever, packed over the list of ops, and behind it what lives in frames (of which the
// schedule then has all parts). reuse = false gives every tensor its own place: slower to fit, for
// tests that compare a packed run with; not with frames.
MemoryPlan plan_memory(const Program& program, const BoundProgram& bound,
                       const Schedule& schedule = {}, bool reuse = true);

// "bf16 [4, 512]"; of a workspace "u8 [BYTES]".
std::string shape_text(const Program& program, const MemoryPlan::Large& large);

// The lower bound alone, which takes a fraction of the time.
std::int64_t least_arena_bytes(const Program& program, const BoundProgram& bound);

}  // namespace ingot

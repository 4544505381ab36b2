// Where everything of a program lies: what a memory plan decides and an executor obeys.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "engine/program/program.h"

namespace ingot {

struct Placement {
  std::vector<std::int64_t> offsets;  // by tensor id: bytes from the start of its place's memory;
                                      // -1: it has none
  std::vector<std::int64_t> workspaces;           // by op, in the arena; -1: the op wants none
  std::array<std::int64_t, kPlaceCount> bytes{};  // of each place's memory

  std::int64_t arena_bytes() const { return bytes[static_cast<int>(Place::arena)]; }
  std::int64_t offload_bytes() const { return bytes[static_cast<int>(Place::offload)]; }
};

class BoundProgram;

// Memory is used once only: every tensor and workspace has bytes of its own. For tests, and for
// programs of a few ops.
Placement separate_places(const Program& program, const BoundProgram& bound);

}  // namespace ingot

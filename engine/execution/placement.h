// Where everything of a program lies: what a memory plan decides and an executor obeys.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "engine/program/program.h"

namespace ingot {

// Tensors of Lifetime::frame lie in blocks, of which each micro-batch has its own.
struct Frames {
  std::vector<int> blocks;                        // by tensor id; -1: it is of no frame
  std::vector<std::vector<std::int64_t>> places;  // [block][micro-batch]: where in the arena

  int micro_batches() const { return places.empty() ? 1 : static_cast<int>(places[0].size()); }
};

struct Placement {
  std::vector<std::int64_t> offsets;  // by tensor id: bytes from the start of its place's memory,
                                      // of its block in a frame; -1: it has none
  std::vector<std::int64_t> workspaces;           // by op, in the arena; -1: the op wants none
  std::array<std::int64_t, kPlaceCount> bytes{};  // of each place's memory
  Frames frames;                                  // empty: no tensor is of one

  // From the start of its place's memory, for this micro-batch. Negative: it has no place.
  std::int64_t offset(int tensor, int micro_batch) const;
  std::int64_t arena_bytes() const { return bytes[static_cast<int>(Place::arena)]; }
  std::int64_t offload_bytes() const { return bytes[static_cast<int>(Place::offload)]; }
};

class BoundProgram;

// Memory is used once only: every tensor and workspace has bytes of its own. For tests, and for
// programs of a few ops; not with frames.
Placement separate_places(const Program& program, const BoundProgram& bound);

}  // namespace ingot

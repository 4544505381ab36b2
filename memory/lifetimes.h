// When each tensor of a program is alive: the input of the arena's packing.
#pragma once

#include <vector>

#include "engine/program/program.h"
#include "memory/packing/packing.h"

namespace ingot {

struct Lifetimes {
  std::vector<int> tensors;     // ids of the tensors that need a place, one for each buffer
  std::vector<Buffer> buffers;  // live in [first, last], indices into program.ops()
};

// Tensors that no op uses get no buffer, unless they are persistent.
Lifetimes lifetimes(const Program& program);

}  // namespace ingot

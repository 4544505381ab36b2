// When each tensor of a program is alive: the input of the arena's packing.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/execution/executor.h"
#include "engine/program/program.h"
#include "memory/packing/packing.h"

namespace ingot {

// Who owns a buffer: a tensor, or an op whose workspace it is.
struct BufferOwner {
  int tensor = -1, op = -1;
};
Role role_of(const Program& program, BufferOwner owner);
DType dtype_of(const Program& program, BufferOwner owner);
// "gradient of layers.3.mlp", "workspace of layers.3.mlp linear".
std::string name_of(const Program& program, BufferOwner owner);

struct Lifetimes {
  std::vector<BufferOwner> owners;  // of each buffer: tensors by id, then workspaces by op
  std::vector<Buffer> buffers;      // live in [first, last], indices into program.ops()
};

// Tensors that no op uses get no buffer, unless they are persistent; those of frames have places of
// their own (memory/frames.h). bound: the backend's sizes and workspaces; without it sizes are the
// program's and there are no workspaces. schedule: the order in which parts run, where that is not
// the list's.
Lifetimes lifetimes(const Program& program, const BoundProgram* bound = nullptr,
                    std::span<const Action> schedule = {});

}  // namespace ingot

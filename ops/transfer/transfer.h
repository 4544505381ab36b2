// Moves tensors between the arena and the second memory that offloaded tensors live in
// (TensorInfo::place; on the CPU a mapped file, on a GPU the host's memory). The pass
// memory/passes/offload.h puts these ops around those that use such tensors.
#pragma once

#include "engine/program/program.h"

namespace ingot {

// A copy of an offloaded tensor in the arena.
Tensor fetch(Program& program, Tensor offloaded);

// The copy back to where it came from.
void store(Program& program, Tensor copy, Tensor offloaded);

//   fetch   inputs offloaded   outputs copy
//   store   inputs copy        outputs offloaded
extern const OpKind kFetch, kStore;

}  // namespace ingot

// Tensors that live outside the arena, and weights that are stored in 8 bits: passes over a whole
// program (all parts) that bring each into the arena just for the ops that use it.
#pragma once

#include <cstdint>

#include "engine/program/program.h"

namespace ingot {

// What may leave the arena, each set with those before it.
enum class OffloadSet : std::uint8_t {
  none,
  states,   // optimizer states: touched once an update
  masters,  // also the masters and residuals of weights
  all,      // also gradients and the weights themselves, for models larger than memory
};
std::string_view name_of(OffloadSet set);

// Marks the set's tensors as offloaded (TensorInfo::place) and puts fetch and store ops around the
// ops that use them. Small tensors stay. Weight handles keep naming the offloaded tensors.
void offload(Program& program, OffloadSet set);

// For weights that are stored as codes: dequantizes them before the ops that read them, once for
// all ops of a layer's forward, and of its backward.
void restore_weights(Program& program);

}  // namespace ingot

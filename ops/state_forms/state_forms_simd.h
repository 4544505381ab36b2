// Kernels of state_forms.h: one group of a state into 128 floats, and back.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

inline constexpr int kGroupElements = 128;

// One group of a row, and what its rounding draws from. Buffers hold kGroupElements floats; those
// beyond `count` are zeros on the way in and ignored on the way out.
struct StateGroup {
  std::int64_t element;   // of the whole tensor, the group's first
  std::int64_t group;     // of the whole tensor
  std::int64_t column;    // of the whole tensor's row, the group's first: what draws go by
  int count;              // elements, 1..128
  std::uint64_t row_key;  // rounding_row_key() of engine/numbers/quantizer.h
};

using DecodeGroup = void (*)(const void* values, const void* extra, const StateGroup& group,
                             float* out);
using EncodeGroup = void (*)(const float* in, const StateGroup& group, void* values, void* extra);

// Indexed by StateForm; `extra` may be null for f32, bf16 and f16.
struct StateKernels {
  DecodeGroup decode[7];
  // Rounds to nearest.
  EncodeGroup encode[7];
  // Rounds stochastically, where the form rounds: bf16, f16 (to nearest), log8, int8. The scale of
  // an int8 group grows at once and shrinks only below 0.9 of itself, so that weights that did not
  // move are not rounded anew in every step (memory.md C7.6). bf16_residual and dynamic8 round to
  // nearest.
  EncodeGroup encode_stochastic[7];
  // f32 with a copy in bf16 or f16 (`extra`), for compute.
  EncodeGroup encode_with_bf16, encode_with_f16;
};

INGOT_KERNEL_TABLE(StateKernels, state_kernels)

}  // namespace ingot::cpu

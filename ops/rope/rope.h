// Rotary position embedding (Su et al., arXiv 2104.09864): pairs of channels of each head are
// rotated by an angle that grows with the token's position.
//
// Works in place: afterwards x holds the rotated values, and nothing else may need the old ones.
// The gradient is rotated back, in place too.
#pragma once

#include <cstdint>

#include "engine/program/program.h"

namespace ingot {

// Which columns of x are rotated: in each of `count` heads, that begin `stride` columns apart at
// x's first column, the channels [offset, offset + 2 * half).
struct RopeHeads {
  std::int64_t count = 1, stride = 0, offset = 0, half = 0;
};

// x [tokens, columns]; table [positions, 2 * half] f32, as rope_table() makes it; positions
// [tokens] i32: the row of the table for each token (a caller must keep them inside the table).
// interleaved: channels (2i, 2i+1) are a pair (DeepSeek), else (i, i + half) (llama, qwen).
void rope(Program& program, Tensor x, Tensor table, Tensor positions, const RopeHeads& heads,
          bool interleaved);

// inputs: x, table, positions; outputs: x. Attributes: count, stride, offset, half, interleaved,
// inverse.
extern const OpKind kRope;

}  // namespace ingot

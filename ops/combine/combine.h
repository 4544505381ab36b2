// Brings the experts' outputs back to their tokens: y[t] = residual[t] + sum over its slots of
// rows[row_of[t, slot]]. The routing weights are already in the rows (ops/swiglu, row_weight).
#pragma once

#include "engine/program/program.h"
#include "ops/dispatch/dispatch.h"

namespace ingot {

// rows [rows, d], residual [tokens, d] of the same dtype (any float). Returns y [tokens, d], summed
// in fp32 in the order of slots and rounded once.
// Backward: d_rows[r] = dy[token of r]; the residual shares y's gradient buffer.
Tensor combine(Program& program, Tensor rows, const Dispatch& dispatch, Tensor residual);

//   combine   inputs rows, row_of, residual, slot_of, row_count   outputs y
// Runs as sum_rows; its gradient is permute (ops/dispatch).
extern const OpKind kCombine;

}  // namespace ingot

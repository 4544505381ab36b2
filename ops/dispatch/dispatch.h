// Sends tokens to their experts: sorts the (token, slot) pairs by expert, copies the tokens' rows
// into that order, so that each expert's rows are contiguous, and brings gradients back.
// The sort is stable: within an expert, rows follow the tokens. ops/combine is the way back.
#pragma once

#include "engine/program/program.h"
#include "ops/router/router.h"

namespace ingot {

// Where the rows are. Without expert parallelism offsets[experts] == tokens * slots; in general
// offsets[experts] is the number of rows in use, and later rows hold nothing: no op reads them.
struct Dispatch {
  Tensor offsets;  // [experts + 1] i32: expert e has the rows [offsets[e], offsets[e + 1])
  Tensor slot_of;  // [rows, 1] i32: row -> token * slots + slot
  Tensor row_of;   // [tokens, slots] i32: its inverse; -1: the pair has no row here

  std::int64_t experts() const { return offsets.columns - 1; }
  std::int64_t slots() const { return row_of.columns; }
  // The number of rows in use, [1] i32, for ops that take a row_count.
  Tensor row_count() const { return offsets.slice(experts(), 1); }
};

// chosen [tokens, slots] i32: the experts of each token, each in [0, experts).
Dispatch dispatch(Program& program, Tensor chosen, std::int64_t experts);
Dispatch dispatch(Program& program, const Routing& routing);

// x [tokens, d] -> [rows, d]: row r is a copy of x[slot_of[r] / slots].
// Backward: dx[t] = sum of the gradients of its rows in the order of slots, in fp32.
Tensor permute(Program& program, Tensor x, const Dispatch& dispatch);

// weights [tokens, slots] f32 -> [rows, 1] f32, and the gradient back.
Tensor permute_weights(Program& program, Tensor weights, const Dispatch& dispatch);

//   dispatch            inputs chosen                      outputs offsets, slot_of, row_of
//   permute             inputs x, slot_of, row_count, row_of*   outputs rows
//                       attributes slots, accumulate (rows += x[...])
//   sum_rows            inputs rows, row_of, base?              outputs y
//                       y[t] = base[t] + sum over slots of rows[row_of[t, slot]]; base may be y
//   permute_weights     inputs weights, slot_of, row_count, row_of*   outputs row_weights
//   unpermute_weights   inputs d_row_weights, row_of            outputs d_weights
//                       attribute accumulate
// * for the gradient rule: the kernel does not read it.
// permute and sum_rows are each other's gradient; sum_rows is also what ops/combine runs.
extern const OpKind kDispatch, kPermute, kSumRows, kPermuteWeights, kUnpermuteWeights;

}  // namespace ingot

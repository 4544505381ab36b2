// y_e = x_e W_e^T for each expert e and its contiguous rows: the experts' projections as one op.
#pragma once

#include "engine/program/program.h"

namespace ingot {

// x [rows, in] (may be a column slice), weight [experts, out, in], both of one float dtype; offsets
// [experts + 1] i32: expert e has the rows [offsets[e], offsets[e + 1]). Returns y [rows, out] of
// that dtype, sums in fp32. Rows from offsets[experts] on are neither read nor written.
// Backward: dx_e = dy_e W_e, dW_e += dy_e^T x_e; an expert without rows adds
// nothing.
Tensor grouped_linear(Program& program, Tensor x, Tensor weight, Tensor offsets);

//   grouped_linear         inputs x, weight, offsets    outputs y
//   grouped_linear_dgrad   inputs dy, weight, offsets   outputs dx   attribute accumulate
//   grouped_linear_wgrad   inputs dy, x, offsets        outputs dW, square sums? of each matrix
//                          attribute first
// Codes as operands: as in ops/linear/linear.h, scales last.
// packed: the weight comes packed as well, as the last input (ops/pack_weight).
extern const OpKind kGroupedLinear, kGroupedLinearDgrad, kGroupedLinearWgrad;

}  // namespace ingot

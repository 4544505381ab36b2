// y = x W^T (+ bias) (+ residual): the projection of every layer.
#pragma once

#include <optional>

#include "engine/program/program.h"

namespace ingot {

struct LinearOptions {
  Tensor bias = {};                        // [out] f32
  Tensor residual = {};                    // [tokens, out], dtype of the output
  std::optional<DType> output_dtype = {};  // that of x by default
};

// x [tokens, in] (may be a column slice), weight [out, in], both of any float dtype (the router has
// fp32 weights under bf16 activations). Sums in fp32; bias and residual are added before rounding,
// so a residual branch costs no pass of its own and no rounding either.
// Returns y [tokens, out]. Backward: dx = dy W, dW += dy^T x, d_bias += column sums of dy; the
// residual shares y's gradient buffer.
Tensor linear(Program& program, Tensor x, Tensor weight, const LinearOptions& options = {});

// Gradient ops, named as kernels know them.
//   linear          inputs x, weight, bias?, residual?   outputs y
//                   or x, codes, bias?, residual?, scales (ops/quantize,
//                   compress/passes/int8_weights.h)
//   linear_dgrad    inputs dy, weight                    outputs dx   attribute accumulate
//   linear_wgrad    inputs dy, x                         outputs dW, square sums?
//                                                        attribute first
//   bias_gradient   inputs dy                            outputs db   attribute first
// An int8 product's first operand may be codes too, with their scales [rows] as the last input.
// square sums: of dW, by cell (engine/execution/gradient_squares.h).
// first: overwrites in micro-step 0; else, and without it, adds (Gradients::Target).
// packed: the weight comes packed as well, as the last input (ops/pack_weight).
// int8: the product is computed in int8, with scales for each int8_block of the depth; stochastic:
// the first operand is rounded so (int8_product_cpu.h). compress/passes/int8_compute.h sets them.
extern const OpKind kLinear, kLinearDgrad, kLinearWgrad, kBiasGradient;

}  // namespace ingot

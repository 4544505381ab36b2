// The global gradient norm, and what follows from it: the clipping factor, and whether the update
// is to be skipped.
#pragma once

#include <vector>

#include "engine/program/program.h"

namespace ingot {

struct GradientNorm {
  Tensor norm;     // [1] f32 output: L2 norm of all gradients together, loss scale divided out
  Tensor scale;    // [1] f32: factor on every gradient, min(1, clip / (norm + 1e-6)) / loss_scale
  Tensor skipped;  // [1] f32 output: 1 if the norm is not finite or above StepState::norm_limit, or
                   // StepState::skip_update is set; else 0
};

// gradients: f32 or bf16 tensors. Squares are summed in blocks of fixed size in double, so that the
// norm does not depend on the number of threads. square_sums: of the squares of other gradients,
// f32 (engine/execution/gradient_squares.h). clip_norm 0: no clipping.
GradientNorm gradient_norm(Program& program, const std::vector<Tensor>& gradients,
                           const std::vector<Tensor>& square_sums, double clip_norm);

//   gradient_norm   inputs gradients..., square_sums...   outputs norm, scale, skipped
//                   attributes clip_norm, square_sums: how many inputs are sums
extern const OpKind kGradientNorm;

}  // namespace ingot

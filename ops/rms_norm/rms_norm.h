// RMSNorm: y = x * rsqrt(mean(x^2) + epsilon) * gain, over the last axis, or over each of `groups`
// equal parts of it (per-head norms of Qwen3). Statistics in fp32 (Zhang and Sennrich 2019).
#pragma once

#include "engine/program/program.h"

namespace ingot {

struct RmsNormOptions {
  double epsilon = 1e-6;
  std::int64_t groups = 1;  // norms per row, each over columns / groups
  Tensor into = {};         // write y here (a view as wide as x) instead of to a tensor of its own
};

// x [tokens, columns] (may be a column slice), gain [columns / groups] f32. Returns y.
// Keeps x and 1/rms [tokens, groups] f32 for backward. Backward adds into the gain's gradient
// (it accumulates over micro-steps).
Tensor rms_norm(Program& program, Tensor x, Tensor gain, const RmsNormOptions& options = {});

//   rms_norm            inputs x, gain             outputs y, inverse_rms
//   rms_norm_backward   inputs dy, x, gain, inverse_rms   outputs dx?, d_gain?
//                       attributes accumulate (dx), first (d_gain)
// Codes of outputs[0] may be made on the way (ops/quantize/row_codes.h).
extern const OpKind kRmsNorm, kRmsNormBackward;

}  // namespace ingot

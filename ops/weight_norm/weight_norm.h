// Clipping where each weight is updated before the gradients of others are known: by the norm of
// the step before (Program::progress) or that of the weight's own gradient, whichever is larger, so
// that a spike is clipped in the step that brings it. The norm of this step is still made and
// reported, and clips the next.
#pragma once

#include <vector>

#include "engine/program/program.h"

namespace ingot {

struct WeightNorm {
  Tensor norm;     // [1] f32: L2 norm of the gradient, loss scale divided out; lives to the update
  Tensor scale;    // [1] f32: min(1, clip / (the larger norm + 1e-6)) / loss_scale
  Tensor skipped;  // [1] f32: 1 if the norm is not finite: then this weight is not updated
};

// gradient: f32 or bf16. Squares are summed in blocks of fixed size in double.
WeightNorm weight_norm(Program& program, Tensor gradient, double clip_norm);

// Of all gradients together, for the report. Returns [1] f32: 1 if it is not finite: some weights
// were not updated.
Tensor total_norm(Program& program, const std::vector<Tensor>& norms);

//   weight_norm   inputs gradient, progress   outputs norm, scale, skipped   attribute clip_norm
//   total_norm    inputs norms...   outputs skipped, report   attributes norm, skipped: slots
extern const OpKind kWeightNorm, kTotalNorm;

}  // namespace ingot

// AdamW with decoupled weight decay (Loshchilov and Hutter 2019), one pass over memory:
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
//   w = w - lr * ( (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon) + decay * w )
// Weight and moments come in any of the forms of ops/state_forms: 128 elements at a time are
// decoded into the first-level cache, updated in fp32 and encoded.
#pragma once

#include "engine/program/program.h"

namespace ingot {

struct AdamwOptions {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double decay = 0;
};

// Updates the weight's value, the rounded copy of an fp32 value, and both moments. g is the
// gradient (f32 or bf16) times `scale` [1] f32. Nothing happens when `skipped` [1] f32 is not zero.
// t is one more than the updates that were applied so far (Program::progress), lr
// StepState::learning_rate. The scope is to be the weight's name: what rounds stochastically (bf16
// and int8 weights, second moments) draws from StepState::seed, t and the place in the checkpoint's
// tensor (ops/state_forms/state_draws.h).
void adamw(Program& program, const Weight& weight, Tensor scale, Tensor skipped,
           const AdamwOptions& options);

//   adamw   inputs gradient, scale, skipped, progress
//           outputs weight, its extra or rounded copy?, first moment, its extra?, second moment,
//           its extra? attributes weight_form, first_form, second_form: StateForm
// (outputs are read and written)
extern const OpKind kAdamw;

}  // namespace ingot

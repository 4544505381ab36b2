// AdamW with decoupled weight decay (Loshchilov and Hutter 2019), one pass over memory:
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
//   w = w - lr * ( (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon) + decay * w )
#pragma once

#include "engine/program.h"

namespace ingot {

struct AdamwOptions {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double decay = 0;
};

// Updates weight.master, both moments and the lower-precision weight.tensor. g is the gradient
// times `scale` [1] f32. Nothing happens when `skipped` [1] f32 is not zero. t is
// StepState::updates + 1, lr StepState::learning_rate.
void adamw(Program& program, const Weight& weight, Tensor scale, Tensor skipped,
           const AdamwOptions& options);

//   adamw   inputs gradient, scale, skipped   outputs master, first_moment, second_moment, copy?
// (outputs are read and written; copy is absent when the master is the weight itself)
extern const OpKind kAdamw;

}  // namespace ingot

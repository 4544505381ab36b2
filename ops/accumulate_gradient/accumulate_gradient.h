// The sum of a weight's gradients over micro-steps in bf16. Micro-step 0 overwrites it, rounded to
// nearest; later ones add in fp32 and round stochastically, so that small gradients are not lost
// against a large sum (memory.md D: rounding to nearest is 7.5 % off after 512 micro-steps,
// biased).
#pragma once

#include "engine/program.h"

namespace ingot {

// gradient: f32, of one micro-step. sum: bf16 of the same shape, read and written. Draws depend on
// seed, step, micro-step, the scope, which is to be the weight's name, and the place in it.
void accumulate_gradient(Program& program, Tensor gradient, Tensor sum);

//   accumulate_gradient   inputs gradient   outputs sum
extern const OpKind kAccumulateGradient;

}  // namespace ingot

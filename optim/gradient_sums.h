// How the sum of a weight's gradients over micro-steps is stored: in fp32, in bf16, or in bf16 with
// an 8-bit residual. (Two bf16 words, high and low, would take the 4 bytes of fp32 and hold less.)
#pragma once

#include "engine/program/program.h"
#include "ops/state_forms/state_forms.h"

namespace ingot {

// Called after differentiate(). Matrices sum their gradients in `form`, bf16 or bf16_residual:
// backward writes a gradient of this micro-step, in fp32 and alive only until an op behind it has
// added it to the sum (ops/accumulate_gradient), whose bf16 becomes Weight::gradient: the update
// reads the sum rounded once. Vectors are left as they are.
void sum_gradients_in(Program& program, StateForm form);

}  // namespace ingot

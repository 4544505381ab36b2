// How the sum of a weight's gradients over micro-steps is stored: in fp32, or in bf16. (Pairs of
// bf16 words, high and low, would take the 4 bytes of fp32 and hold less.)
#pragma once

#include "engine/program.h"

namespace ingot {

// Called after differentiate(). Matrices sum their gradients in bf16: backward writes a gradient of
// this micro-step, in fp32 and alive only until an op behind it has added it to the sum
// (ops/accumulate_gradient), which becomes Weight::gradient. Vectors are left as they are.
void sum_gradients_in_bf16(Program& program);

}  // namespace ingot

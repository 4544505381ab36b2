// The sum of a weight's gradients over micro-steps in fewer bits than fp32: in bf16, or in bf16
// with an 8-bit residual. Micro-step 0 overwrites it, rounded to nearest; later ones add in fp32. A
// bf16 sum is then rounded stochastically, so that small gradients are not lost against a large sum
// (memory.md D: rounding to nearest is 7.5 % off after 512 micro-steps, biased); with a residual 24
// bits of it are kept and rounding to nearest is enough.
#pragma once

#include <cstdint>

#include "engine/program/program.h"
#include "ops/state_forms/state_forms.h"

namespace ingot {

// gradient: f32, of one micro-step. Adds it to weight.gradient, bf16 or bf16_residual, of the same
// shape. The scope is to be the weight's name: draws depend on seed, step, micro-batch, and the
// place in the checkpoint's tensor (ops/state_forms/state_draws.h).
void accumulate_gradient(Program& program, Tensor gradient, const Weight& weight);

// How many sums of squares the op leaves (engine/execution/gradient_squares.h): one for the groups
// of each of the tiles it works on, of what the update reads: the rounded sum.
constexpr std::int64_t kTileOfSquares = 512;  // groups of state_forms.h, one row after the other
std::int64_t accumulated_square_sums(const Shape& gradient);

//   accumulate_gradient   inputs gradient   outputs sum, residual (or null), square sums?
extern const OpKind kAccumulateGradient;

}  // namespace ingot

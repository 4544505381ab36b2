// Sum of two gradients that meet where autodiff could not share a buffer.
#pragma once

#include "engine/program/autodiff.h"
#include "engine/program/program.h"

namespace ingot {

// into = x, or into += x when accumulate. Same rows, columns and dtype.
void add_into(Program& program, Tensor x, Tensor into, bool accumulate);

// For gradient rules: the gradient of `input` is that of `output`, unchanged (the identity branch
// of a residual). Shares the buffer where autodiff can, else adds.
void pass_gradient(Gradients& gradients, Tensor output, Tensor input);

extern const OpKind kAddInto;  // inputs: x; outputs: into; attribute accumulate

}  // namespace ingot

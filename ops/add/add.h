// Sum of two gradients that meet where autodiff could not share a buffer.
#pragma once

#include "engine/program/program.h"

namespace ingot {

// into = x, or into += x when accumulate. Same rows, columns and dtype.
void add_into(Program& program, Tensor x, Tensor into, bool accumulate);

extern const OpKind kAddInto;  // inputs: x; outputs: into; attribute accumulate

}  // namespace ingot

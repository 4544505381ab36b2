// The products of linear() and grouped_linear() with the attribute "int8": floats in, floats out,
// int8 inside (backends/cpu/int8_matmul.h). One operand may be codes already (ops/quantize).
#pragma once

#include <memory>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/matmul.h"

namespace ingot::cpu {

// spec: of the float product (threads are filled in). a_rows: stored rows of A. offsets: whether
// the third input is offsets of groups; without, it is the bias and the fourth the residual, if the
// spec has them.
// Attributes: int8_block (Int8MatmulSpec::block), stochastic (A is a gradient and rounded so),
// first (overwrites in micro-step 0).
// If A or B is codes, the last input has their scales. A second output gets the sums of squares of
// the first, if there is one.
std::unique_ptr<Kernel> make_int8_product(const Program& program, const Op& op,
                                          const Context& context, MatmulSpec spec,
                                          std::int64_t a_rows, bool offsets);

}  // namespace ingot::cpu

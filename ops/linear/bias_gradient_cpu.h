#pragma once

#include <memory>

#include "backends/cpu/cpu_backend.h"

namespace ingot::cpu {

// db[column] += sum of dy[row, column] over rows, in fp32.
std::unique_ptr<Kernel> make_bias_gradient(const Program& program, const Op& op,
                                           const Context& context);

}  // namespace ingot::cpu

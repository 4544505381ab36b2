#pragma once

#include <memory>
#include <span>

#include "backends/cpu/cpu_backend.h"

namespace ingot::cpu {

std::span<const KernelEntry> dispatch_cpu_kernels();

// y[t] = base[t] + sum over slots of rows[row_of[t, slot]]: for ops whose inputs begin with rows,
// row_of, base? and whose output is y.
std::unique_ptr<Kernel> make_sum_rows(const Program& program, const Op& op, const Context& context);

}  // namespace ingot::cpu

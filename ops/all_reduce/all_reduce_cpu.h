#pragma once

#include <span>

#include "backends/cpu/cpu_backend.h"

namespace ingot::cpu {

std::span<const KernelEntry> all_reduce_cpu_kernels();

}  // namespace ingot::cpu

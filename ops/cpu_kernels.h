// The table of all CPU kernels: the one list to extend when an op is added.
#pragma once

#include <vector>

#include "backends/cpu/cpu_backend.h"

namespace ingot::cpu {

std::vector<KernelEntry> all_cpu_kernels();

}  // namespace ingot::cpu

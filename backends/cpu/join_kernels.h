// One table of kernels out of those of several ops.
#pragma once

#include <initializer_list>
#include <span>
#include <vector>

#include "backends/cpu/cpu_backend.h"

namespace ingot::cpu {

inline std::vector<KernelEntry> join_kernels(
    std::initializer_list<std::span<const KernelEntry>> tables) {
  std::vector<KernelEntry> all;
  for (const auto table : tables) all.insert(all.end(), table.begin(), table.end());
  return all;
}

}  // namespace ingot::cpu

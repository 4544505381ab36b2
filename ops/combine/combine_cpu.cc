#include "ops/combine/combine_cpu.h"

#include "ops/dispatch/dispatch_cpu.h"

namespace ingot::cpu {

std::span<const KernelEntry> combine_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"combine", make_sum_rows}};
  return kEntries;
}

}  // namespace ingot::cpu

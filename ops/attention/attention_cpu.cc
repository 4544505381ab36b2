#include "ops/attention/attention_cpu.h"

#include "ops/attention/attention_kernels.h"

namespace ingot::cpu {

std::span<const KernelEntry> attention_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"attention", make_attention},
                                             {"attention_backward", make_attention_backward}};
  return kEntries;
}

}  // namespace ingot::cpu

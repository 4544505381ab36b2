#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

// The numbers of one update, in fp32.
struct AdamwStep {
  float scale;  // of the gradient
  float beta1, beta2;
  float first_correction;   // 1 / (1 - beta1^t)
  float second_correction;  // 1 / (1 - beta2^t)
  float epsilon;
  float learning_rate;
  float keep;  // 1 - learning_rate * decay
};

struct AdamwKernels {
  // gradient, master, first and second moment: f32 [count]; copy: by storage type (0 f32: none).
  void (*update[3])(const float* gradient, float* master, float* first, float* second, void* copy,
                    std::int64_t count, const AdamwStep& step);
};

INGOT_KERNEL_TABLE(AdamwKernels, adamw_kernels)

}  // namespace ingot::cpu

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
  // All f32 [count], rounded up to a multiple of 16.
  void (*update)(const float* gradient, float* weight, float* first, float* second, int count,
                 const AdamwStep& step);
};

INGOT_KERNEL_TABLE(AdamwKernels, adamw_kernels)

}  // namespace ingot::cpu

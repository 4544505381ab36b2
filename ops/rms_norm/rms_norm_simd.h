// One row of RMSNorm, forward and backward, by storage type: 0 f32, 1 bf16, 2 f16.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

struct RmsNormKernels {
  // Writes y and returns 1 / sqrt(mean(x^2) + epsilon).
  float (*forward[3])(void* y, const void* x, const float* gain, std::int64_t columns,
                      float epsilon);
  // Writes dx (or adds to it; null: not wanted) and adds dy * x * inverse_rms to d_gain (f32; null:
  // not wanted).
  void (*backward[3])(void* dx, bool accumulate, float* d_gain, const void* dy, const void* x,
                      const float* gain, float inverse_rms, std::int64_t columns);
};

INGOT_KERNEL_TABLE(RmsNormKernels, rms_norm_kernels)

}  // namespace ingot::cpu

// Kernels behind elementwise.h: one thread, plain pointers, any alignment.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

// Arrays are indexed by float type: 0 f32, 1 bf16, 2 f16 (see elementwise.cc).
struct ElementwiseKernels {
  // y[i] = value
  void (*fill[3])(void* y, float value, std::int64_t count);
  // y[i] *= factor
  void (*scale[3])(void* y, float factor, std::int64_t count);
  // y[i] += factor * x[i], one rounding to y's type; [type of y][type of x]
  void (*add[3][3])(void* y, const void* x, float factor, std::int64_t count);
  // y[i] = x[i]; [type of y][type of x]; y may be x when the types are equally wide
  void (*convert[3][3])(void* y, const void* x, std::int64_t count);
  // Sum of x[i]^2: in float over runs of 256, in double over these.
  double (*sum_of_squares[3])(const void* x, std::int64_t count);
  bool (*all_finite[3])(const void* x, std::int64_t count);
};

INGOT_KERNEL_TABLE(ElementwiseKernels, elementwise_kernels)

}  // namespace ingot::cpu

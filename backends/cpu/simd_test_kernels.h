// Every function of simd.h, wrapped so that the test can call it at each level.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

struct SimdTestKernels {
  // y[i] = f(x[i], ...), i < count, with partial loads and stores at the tail.
  using Unary = void (*)(const float* x, float* y, std::int64_t count);
  using Binary = void (*)(const float* a, const float* b, float* y, std::int64_t count);
  Unary exp, log, sigmoid, tanh, rsqrt, sqrt, abs, negate, round;
  Binary add, subtract, multiply, divide, min, max, less, less_equal, equal;
  void (*fma)(const float* a, const float* b, const float* c, float* y, std::int64_t count);
  // Sixteen lanes each.
  float (*horizontal_sum)(const float* x);
  float (*horizontal_max)(const float* x);
  bool (*any_greater)(const float* x, float limit);
  void (*lane_numbers)(std::int32_t* y);
  // y = (x * factor + x ^ x) with every integer operator: see the kernel.
  void (*integers)(const std::int32_t* x, std::int32_t* y);
  // [0] bf16, [1] f16; bits in 16-bit words.
  void (*to_16_bits[2])(const float* x, std::uint16_t* y, std::int64_t count);
  void (*from_16_bits[2])(const std::uint16_t* x, float* y, std::int64_t count);
};

INGOT_KERNEL_TABLE(SimdTestKernels, simd_test_kernels)

}  // namespace ingot::cpu

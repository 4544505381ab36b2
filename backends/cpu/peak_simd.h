// Kernels behind peak.h.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

struct PeakKernels {
  // Multiply-adds on registers only; returns how many floating-point operations they were.
  double (*multiply_add_f32)(std::int64_t iterations);
  double (*multiply_add_bf16)(std::int64_t iterations);  // null: this level has no such instruction
  double (*multiply_add_int8)(std::int64_t iterations);  // of bytes into 32-bit sums; null too
  // Reads `bytes` (a multiple of 256) and returns something that depends on them.
  float (*read)(const float* from, std::int64_t bytes);
  // Multiplies `bytes` (a multiple of 256) of values in place.
  void (*update)(float* values, std::int64_t bytes, float factor);
};

INGOT_KERNEL_TABLE(PeakKernels, peak_kernels)

}  // namespace ingot::cpu

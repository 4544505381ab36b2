// What the multiply-add instructions that attention uses can do at most, for its benchmark.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"
#include "backends/cpu/simd.h"

namespace ingot::cpu {

struct PeakKernels {
  // Multiplies and adds in registers only; returns the number of floating point operations done.
  double (*f32)(std::int64_t rounds);
  double (*bf16)(std::int64_t rounds);
};

INGOT_KERNEL_TABLE(PeakKernels, peak_kernels)

}  // namespace ingot::cpu

// Inner loops of SwiGLU on some rows. Arrays of functions are indexed by DType: f32, bf16, f16.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

struct SwigluRows {
  std::int64_t rows, width;
  const void* gate_up;  // [rows, 2 * width]
  const float* weight;  // [rows], or null: ones
  void* h;              // [rows, width], written; backward: may be null
  const void* dh;       // backward only, as what follows
  void* d_gate_up;
  float* d_weight;                                                     // may be null
  std::int64_t gate_up_stride, h_stride, dh_stride, d_gate_up_stride;  // elements between rows
  bool accumulate, accumulate_weight;
};

struct SwigluKernels {
  using Run = void (*)(const SwigluRows& task);
  Run forward[3], backward[3];
};

INGOT_KERNEL_TABLE(SwigluKernels, swiglu_kernels)

}  // namespace ingot::cpu

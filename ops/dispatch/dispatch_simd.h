// Inner loops on rows that are gathered. Arrays of functions are indexed by DType: f32, bf16, f16.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

struct SumRows {
  std::int64_t tokens, slots, columns;
  const void* rows;                                 // row r at r * rows_stride
  const std::int32_t* row_of;                       // [tokens, slots]; -1: none
  const void* base;                                 // [tokens, columns], or null: zeros; may be y
  void* y;                                          // [tokens, columns]
  std::int64_t rows_stride, base_stride, y_stride;  // elements
};

struct DispatchKernels {
  // y[i] += x[i], summed in fp32
  void (*add[3])(const void* x, void* y, std::int64_t count);
  void (*sum_rows[3])(const SumRows& task);
};

INGOT_KERNEL_TABLE(DispatchKernels, dispatch_kernels)

}  // namespace ingot::cpu

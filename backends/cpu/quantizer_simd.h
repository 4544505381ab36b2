// Kernels of engine/numbers/quantizer.h for one row of values: one thread, plain pointers, any
// alignment.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

// Arrays are indexed by float type: 0 f32, 1 bf16, 2 f16.
struct QuantizerKernels {
  // group: a multiple of 32, or at least `columns`.
  // codes [columns], scales [quantizer_groups(columns, group)]
  using Quantize = void (*)(const void* values, std::int64_t columns, std::int64_t group,
                            std::int8_t* codes, float* scales);
  // The same, rounded stochastically; row_key: rounding_row_key().
  using QuantizeStochastic = void (*)(const void* values, std::int64_t columns, std::int64_t group,
                                      std::int8_t* codes, float* scales, std::uint64_t row_key);
  using Dequantize = void (*)(const std::int8_t* codes, const float* scales, std::int64_t columns,
                              std::int64_t group, void* values);

  Quantize quantize[3];
  QuantizeStochastic quantize_stochastic[3];
  Dequantize dequantize[3];
};

INGOT_KERNEL_TABLE(QuantizerKernels, quantizer_kernels)

}  // namespace ingot::cpu

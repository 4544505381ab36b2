// Where finished sums of a matmul go: C (+)= sums + bias + residual, rounded to C's type. For
// kernels compiled by isa_library.
#pragma once

#include "backends/cpu/matmul_simd.h"
#include "backends/cpu/simd.h"

#ifdef INGOT_ISA

namespace ingot::cpu::INGOT_ISA {

template <typename C, bool adds>
INGOT_SIMD void finish_lanes(const float* sums, C* c, const C* residual, const float* bias,
                             bool accumulate, int n) {
  F16 value = load_partial(sums, n);
  if constexpr (adds) {
    if (bias != nullptr) value += load_partial(bias, n);
    if (residual != nullptr) value += load_partial(residual, n);
    if (accumulate) value += load_partial(c, n);
  }
  store_partial(c, value, n);
}

template <typename C, bool adds>
INGOT_SIMD void finish_as(const float* sums, std::int64_t sums_stride, std::int64_t rows,
                          std::int64_t columns, const MatmulOutput& output) {
  const float* bias = output.bias;
  const std::int64_t whole = columns / kLanes * kLanes;
  for (std::int64_t i = 0; i < rows; ++i, sums += sums_stride) {
    C* c = static_cast<C*>(output.c) + i * output.c_stride;
    const C* residual = static_cast<const C*>(output.residual);
    if (residual != nullptr) residual += i * output.residual_stride;
    const auto lanes = [&](std::int64_t j, int n) __attribute__((always_inline)) {
      finish_lanes<C, adds>(sums + j, c + j, residual == nullptr ? nullptr : residual + j,
                            bias == nullptr ? nullptr : bias + j, output.accumulate, n);
    };
    for (std::int64_t j = 0; j < whole; j += kLanes) lanes(j, kLanes);
    if (whole < columns) lanes(whole, static_cast<int>(columns - whole));
  }
}

template <typename C>
INGOT_SIMD void finish_type(const float* sums, std::int64_t sums_stride, std::int64_t rows,
                            std::int64_t columns, const MatmulOutput& output) {
  if (output.accumulate || output.bias != nullptr || output.residual != nullptr) {
    finish_as<C, true>(sums, sums_stride, rows, columns, output);
  } else {
    finish_as<C, false>(sums, sums_stride, rows, columns, output);
  }
}

INGOT_SIMD void finish(const float* sums, std::int64_t sums_stride, std::int64_t rows,
                       std::int64_t columns, const MatmulOutput& output) {
  if (output.c_type == 0) return finish_type<float>(sums, sums_stride, rows, columns, output);
  if (output.c_type == 1) return finish_type<BFloat16>(sums, sums_stride, rows, columns, output);
  finish_type<Half>(sums, sums_stride, rows, columns, output);
}

template <typename C>
INGOT_SIMD C* advance(C* base, int type, std::int64_t elements) {
  return (C*)((const char*)base + elements * (type == 0 ? 4 : 2));
}

// The output of a part of a tile that starts at (row, column).
INGOT_SIMD MatmulOutput part_of(const MatmulOutput& output, std::int64_t row, std::int64_t column) {
  MatmulOutput part = output;
  part.c = advance(output.c, output.c_type, row * output.c_stride + column);
  if (output.bias != nullptr) part.bias = output.bias + column;
  if (output.residual != nullptr) {
    part.residual = advance(output.residual, output.c_type, row * output.residual_stride + column);
  }
  return part;
}

}  // namespace ingot::cpu::INGOT_ISA

#endif  // INGOT_ISA

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

// Fetches the lines of C that a register tile will write, while it is being computed: 5 %
// faster.
INGOT_SIMD void prefetch(const MatmulOutput& output, std::int64_t rows, std::int64_t columns) {
  const std::int64_t size = output.c_type == 0 ? 4 : 2;
  for (std::int64_t i = 0; i < rows; ++i) {
    const char* row = static_cast<const char*>(output.c) + i * output.c_stride * size;
    for (std::int64_t byte = 0; byte < columns * size; byte += 64) {
      __builtin_prefetch(row + byte, 1);
    }
  }
}

// Adds the squares of a part of C that was just finished, from (row, column) of its tile on, to
// those of its cell, whose parts come from the top down; `cell` has those from the same columns so
// far. bottom: the tile's last rows.
INGOT_SIMD void add_squares(const MatmulOutput& part, std::int64_t row, std::int64_t column,
                            std::int64_t rows, std::int64_t columns, bool bottom, F16& cell) {
  const float* c = static_cast<const float*>(part.c);
  for (std::int64_t i = 0; i < rows; ++i, c += part.c_stride) {
    for (std::int64_t j = 0; j < columns; j += kLanes) {
      const F16 value = load_partial(c + j, lanes_left(columns - j));
      cell = fma(value, value, cell);
    }
  }
  if (!bottom && (row + rows) % kCellRows != 0) return;
  float& sum = part.squares[row / kCellRows * part.squares_stride + column / kCellColumns];
  const float squares = horizontal_sum(cell);
  sum = column % kCellColumns == 0 ? squares : sum + squares;
  cell = zero();
}

// The same for some columns of a tile that are finished from its first row to its last.
INGOT_SIMD void add_squares_of_columns(const MatmulOutput& output, std::int64_t tile_rows,
                                       std::int64_t column, std::int64_t columns) {
  F16 cell = zero();
  for (std::int64_t row = 0; row < tile_rows; row += kCellRows) {
    const std::int64_t rows = tile_rows - row < kCellRows ? tile_rows - row : kCellRows;
    add_squares(part_of(output, row, column), row, column, rows, columns, row + rows == tile_rows,
                cell);
  }
}

// Sums of one block of dot products: as many as registers hold.
constexpr int kThinSums = 16;

// to[i] = sum of the lanes of sum[i], every one added in the same order.
INGOT_SIMD void sums_of_lanes(const F16 (&sum)[kThinSums], float (&to)[kThinSums]) {
#if defined(__AVX512F__)
  __m512 part[kThinSums];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {  // pairs of sums, then fours, in each quarter
    const __m512 a = sum[i].part[0], b = sum[i + 1].part[0];
    part[i / 2] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  }
#pragma GCC unroll 16
  for (int i = 0; i < 8; i += 2) {
    const __m512 a = part[i], b = part[i + 1];
    part[i / 2] = _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
  }
#pragma GCC unroll 16
  for (int count = 4; count > 1; count /= 2) {  // quarters
#pragma GCC unroll 16
    for (int i = 0; i < count; i += 2) {
      const __m512 a = part[i], b = part[i + 1];
      part[i / 2] =
          _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
  }
  _mm512_storeu_ps(to, part[0]);
#else
#pragma GCC unroll 16
  for (int i = 0; i < kThinSums; ++i) to[i] = horizontal_sum(sum[i]);
#endif
}

}  // namespace ingot::cpu::INGOT_ISA

#endif  // INGOT_ISA

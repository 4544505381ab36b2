#include "backends/cpu/int8_thin_simd.h"

#include "backends/cpu/int8_product_lanes.h"
#include "backends/cpu/matmul_output_lanes.h"
#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

constexpr int kStep = 4 * kLanes;  // codes that are multiplied at once

// Codes [k, k + kStep) of a row of B, zeros from `last` on.
INGOT_SIMD I16 load_codes_until(const std::int8_t* row, std::int64_t k, std::int64_t last) {
  if (last - k >= kStep) return load_words(row + k);
  std::int8_t buffer[kStep] = {};
  __builtin_memcpy(buffer, row + k, last - k);
  return load_words(buffer);
}

// sums[i][j] = row i of A times row j of B. The rows of B that follow in memory come next and are
// fetched meanwhile, in the order they lie there (matmul_simd.cc, dots).
template <int rows, int columns, bool ahead>
INGOT_SIMD void dots(const Int8Thin& t, const std::int8_t* a, const float* a_scales,
                     const std::int8_t* b, const float* b_scales, float* sums) {
  const I16 to_unsigned = broadcast_int(static_cast<std::int32_t>(0x80808080u));
  const Left offset = left_of(to_unsigned);
  const std::int8_t* next = b + columns * t.depth;
  static_assert(rows * columns <= kThinSums);
  F16 sum[kThinSums] = {};
  for (std::int64_t block = 0; block < t.blocks; ++block) {
    const std::int64_t first = block * t.block;
    const std::int64_t last = t.depth - first < t.block ? t.depth : first + t.block;
    I16 products[rows][columns];
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) {
      I16 added{};  // by the offset of A's codes: 128 * sum of B's
      for (std::int64_t k = first; k < last; k += kStep) {
        added = add_products(offset, right_of(load_codes_until(b + j * t.depth, k, last)), added);
        if (ahead) __builtin_prefetch(next + k * columns + j * kStep);
      }
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) products[i][j] = I16{} - added;
    }
    for (std::int64_t k = first; k < last; k += kStep) {
      Right right[columns];
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) {
        right[j] = right_of(load_codes_until(b + j * t.depth, k, last));
      }
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) {
        const Left left = left_of(load_words(a + i * t.a_row_bytes + k) ^ to_unsigned);
#pragma GCC unroll 4
        for (int j = 0; j < columns; ++j) {
          products[i][j] = add_products(left, right[j], products[i][j]);
        }
      }
    }
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) {
      const F16 b_scale = broadcast(b_scales[j * t.blocks + block]);
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) {
        const F16 scale = broadcast(a_scales[i * t.blocks + block]) * b_scale;
        F16& to = sum[i * columns + j];
        to = fma(to_float(products[i][j]), scale, to);
      }
    }
  }
  float all[kThinSums];
  sums_of_lanes(sum, all);
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) sums[i * kThinColumns + j] = all[i * columns + j];
  }
}

// Four rows at a time: the first ones fetch B, the others find it in the cache.
template <int columns>
INGOT_SIMD void dots_of_columns(const Int8Thin& t, std::int64_t column, float* sums) {
  const std::int8_t* b = t.b + column * t.depth;
  const float* b_scales = t.b_scales + column * t.blocks;
  for (std::int64_t row = 0; row < t.rows;) {
    const std::int8_t* a = t.a + row * t.a_row_bytes;
    const float* a_scales = t.a_scales + row * t.blocks;
    float* to = sums + row * kThinColumns + column;
    if (row + 4 <= t.rows) {
      row == 0 ? dots<4, columns, true>(t, a, a_scales, b, b_scales, to)
               : dots<4, columns, false>(t, a, a_scales, b, b_scales, to);
      row += 4;
    } else if (row + 2 <= t.rows) {
      dots<2, columns, true>(t, a, a_scales, b, b_scales, to);
      row += 2;
    } else {
      dots<1, columns, true>(t, a, a_scales, b, b_scales, to);
      row += 1;
    }
  }
}

void multiply(const Int8Thin& t) {
  float sums[kThinRows * kThinColumns];
  std::int64_t column = 0;
  for (; column + 4 <= t.columns; column += 4) dots_of_columns<4>(t, column, sums);
  for (; column < t.columns; ++column) dots_of_columns<1>(t, column, sums);
  finish(sums, kThinColumns, t.rows, t.columns, t.output);
}

}  // namespace

extern const Int8ThinKernels int8_thin_kernels = {multiply};

}  // namespace ingot::cpu::INGOT_ISA

// How matmul_simd.cc turns operands into panels of words.
#pragma once

#include "backends/cpu/matmul_simd.h"
#include "backends/cpu/simd.h"
#include "backends/cpu/transpose_lanes.h"

#ifdef INGOT_ISA

namespace ingot::cpu::INGOT_ISA {
namespace {

// Rows of a narrow slice that are fetched ahead: the hardware does not guess where the next row is.
constexpr int kAhead = 16;

// One 16 x 16 block: reads words of rows with `load_row(row)`, writes `words` (1..16) of them.
template <typename LoadRow>
INGOT_SIMD void pack_block(const LoadRow& load_row, int rows, int words, float* to,
                           std::int64_t width) {
  F16 row[16];
  for (int i = 0; i < 16; ++i) row[i] = i < rows ? load_row(i) : zero();
  if (words == 16) {
    transpose_to(row, to, width);
  } else {
    float block[16 * 16];
    transpose_to(row, block, 16);
    for (int k = 0; k < words; ++k) store(to + k * width, load(block + 16 * k));
  }
}

template <typename T>
void pack_transposed(const void* source, std::int64_t stride, std::int64_t depth,
                     std::int64_t columns, void* panel, std::int64_t width) {
  const T* from = static_cast<const T*>(source);
  float* to = static_cast<float*>(panel);
  for (std::int64_t column = 0; column < width; column += 16) {
    const int rows = column < columns ? lanes_left(columns - column) : 0;
    for (std::int64_t k = 0; k < depth; k += 16) {
      const int words = lanes_left(depth - k);
      const T* corner = from + column * stride + k;
      pack_block([&](int i) { return load_partial(corner + i * stride, words); }, rows, words,
                 to + k * width + column, width);
    }
  }
}

template <typename T>
void pack_plain(const void* source, std::int64_t stride, std::int64_t depth, std::int64_t columns,
                void* panel, std::int64_t width) {
  float* to = static_cast<float*>(panel);
  for (std::int64_t k = 0; k < depth; ++k) {
    const T* from = static_cast<const T*>(source) + k * stride;
    for (std::int64_t column = 0; column < width; column += 16) {
      const int n = column < columns ? lanes_left(columns - column) : 0;
      __builtin_prefetch(from + column + kAhead * stride);
      store(to + k * width + column, load_partial(from + column, n));
    }
  }
}

#if defined(__AVX512BF16__)
// Sixteen words of pairs, of which `count` (0..32) 16-bit elements are there.
INGOT_SIMD F16 load_pairs(const std::uint16_t* from, int count) {
  const __mmask32 mask = count >= 32 ? ~0u : (1u << count) - 1u;
  F16 result;
  result.part[0] = (FloatPart)_mm512_maskz_loadu_epi16(mask, from);
  return result;
}

void pack_pairs_transposed(const void* source, std::int64_t stride, std::int64_t depth,
                           std::int64_t columns, void* panel, std::int64_t width) {
  const std::uint16_t* from = static_cast<const std::uint16_t*>(source);
  float* to = static_cast<float*>(panel);
  for (std::int64_t column = 0; column < width; column += 16) {
    const int rows = column < columns ? lanes_left(columns - column) : 0;
    for (std::int64_t k = 0; k < depth; k += 32) {
      const int elements = depth - k < 32 ? static_cast<int>(depth - k) : 32;
      const std::uint16_t* corner = from + column * stride + k;
      pack_block([&](int i) { return load_pairs(corner + i * stride, elements); }, rows,
                 (elements + 1) / 2, to + k / 2 * width + column, width);
    }
  }
}

void pack_pairs_plain(const void* source, std::int64_t stride, std::int64_t depth,
                      std::int64_t columns, void* panel, std::int64_t width) {
  const std::uint16_t* from = static_cast<const std::uint16_t*>(source);
  std::uint16_t* to = static_cast<std::uint16_t*>(panel);
  for (std::int64_t k = 0; k < depth; k += 2) {
    for (std::int64_t column = 0; column < width; column += 16) {
      const int n = column < columns ? lanes_left(columns - column) : 0;
      const __mmask16 mask = static_cast<__mmask16>((1u << n) - 1u);
      const __mmask16 second_mask = k + 1 < depth ? mask : 0;
      const std::uint16_t* corner = from + k * stride + column;
      __builtin_prefetch(corner + kAhead * stride);
      __builtin_prefetch(corner + (kAhead + 1) * stride);
      const __m512i first = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, corner));
      const __m512i second =
          _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(second_mask, corner + stride));
      _mm512_storeu_si512(to + k * width + 2 * column,
                          _mm512_or_si512(first, _mm512_slli_epi32(second, 16)));
    }
  }
}
#endif

template <typename T>
void widen(const void* from, std::int64_t stride, std::int64_t rows, std::int64_t columns,
           float* to, std::int64_t to_stride) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const T* row = static_cast<const T*>(from) + i * stride;
    for (std::int64_t k = 0; k < columns; k += kLanes) {
      const int n = lanes_left(columns - k);
      store_partial(to + i * to_stride + k, load_partial(row + k, n), n);
    }
  }
}

}  // namespace
}  // namespace ingot::cpu::INGOT_ISA

#endif  // INGOT_ISA

// Made for the few rows of decoding, where the weights are read from memory once: they are used
// where they lie, without packing.
#include "ops/latent_attention/absorb_simd.h"

#include "ops/attention/tiles.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

inline float to_float(float value) { return value; }
inline float to_float(BFloat16 value) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(value.bits) << 16);
}
inline float to_float(Half value) {
  float result;
  store_partial(&result, load_partial(&value, 1), 1);
  return result;
}

template <int kRows, int kVectors, class T>
INGOT_SIMD void absorb_block(const T* x, std::int64_t x_stride, const T* w, std::int64_t w_stride,
                             std::int64_t depth, int last_lanes, T* to, std::int64_t to_stride) {
  F16 sums[kRows][kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[i][v] = zero();
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    F16 b[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const T* from = w + k * w_stride + v * kLanes;
      b[v] = v + 1 < kVectors ? load(from) : load_partial(from, last_lanes);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      const F16 a = broadcast(to_float(x[i * x_stride + k]));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[i][v] = fma(a, b[v], sums[i][v]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      store_partial(to + i * to_stride + v * kLanes, sums[i][v],
                    v + 1 < kVectors ? kLanes : last_lanes);
    }
  }
}

template <int kVectors, class T>
void absorb_columns(const T* x, std::int64_t x_stride, const T* w, std::int64_t w_stride,
                    std::int64_t rows, std::int64_t depth, int last_lanes, T* to,
                    std::int64_t to_stride) {
  std::int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    absorb_block<4, kVectors>(x + i * x_stride, x_stride, w, w_stride, depth, last_lanes,
                              to + i * to_stride, to_stride);
  }
  for (; i < rows; ++i) {
    absorb_block<1, kVectors>(x + i * x_stride, x_stride, w, w_stride, depth, last_lanes,
                              to + i * to_stride, to_stride);
  }
}

template <class T>
void absorb(const T* x, std::int64_t x_stride, const T* w, std::int64_t rows, std::int64_t depth,
            std::int64_t columns, T* to, std::int64_t to_stride) {
  std::int64_t c = 0;
  for (; c + 4 * kLanes <= columns; c += 4 * kLanes) {
    absorb_columns<4>(x, x_stride, w + c, columns, rows, depth, kLanes, to + c, to_stride);
  }
  for (; c < columns; c += kLanes) {
    absorb_columns<1>(x, x_stride, w + c, columns, rows, depth, lanes_left(columns - c), to + c,
                      to_stride);
  }
}

// Sixteen columns (or `count`, fewer) of one row.
template <class T>
F16 project_columns(const float* x, const T* w, std::int64_t depth, int count) {
  F16 sums[kLanes];
  const T* rows[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    sums[i] = zero();
    rows[i] = w + (i < count ? i : count - 1) * depth;
  }
  std::int64_t k = 0;
  for (; k + kLanes <= depth; k += kLanes) {
    const F16 a = load(x + k);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) sums[i] = fma(a, load(rows[i] + k), sums[i]);
  }
  if (k < depth) {
    const int n = lanes_left(depth - k);
    const F16 a = load_partial(x + k, n);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) sums[i] = fma(a, load_partial(rows[i] + k, n), sums[i]);
  }
  return sums_of_rows(sums);
}

template <class T>
void project(const float* x, std::int64_t x_stride, const T* w, std::int64_t rows,
             std::int64_t depth, std::int64_t columns, T* to, std::int64_t to_stride) {
  for (std::int64_t c = 0; c < columns; c += kLanes) {
    const int n = lanes_left(columns - c);
    for (std::int64_t i = 0; i < rows; ++i) {
      store_partial(to + i * to_stride + c,
                    project_columns(x + i * x_stride, w + c * depth, depth, n), n);
    }
  }
}

template <class T>
constexpr AbsorbFunctions<T> kFunctions = {absorb<T>, project<T>};

}  // namespace

const AbsorbTable absorb_kernels = {kFunctions<float>, kFunctions<BFloat16>, kFunctions<Half>};

}  // namespace ingot::cpu::INGOT_ISA

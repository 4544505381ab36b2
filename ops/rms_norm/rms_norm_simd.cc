#include "ops/rms_norm/rms_norm_simd.h"

#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

// Vectors summed side by side: one addition does not wait for another.
constexpr int kSums = 4;

// Calls each(i, lanes, sum) for the vectors of a row, `sum` in 0 .. kSums - 1.
template <class Each>
INGOT_SIMD void for_vectors(std::int64_t columns, const Each& each) {
  std::int64_t i = 0;
  for (; i + kSums * kLanes <= columns; i += kSums * kLanes) {
#pragma GCC unroll 4
    for (int sum = 0; sum < kSums; ++sum) each(i + sum * kLanes, kLanes, sum);
  }
  for (; i < columns; i += kLanes) each(i, lanes_left(columns - i), 0);
}

INGOT_SIMD float total(const F16* sums) {
  return horizontal_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T>
float forward(void* y_, const void* x_, const float* gain, std::int64_t columns, float epsilon) {
  T* y = static_cast<T*>(y_);
  const T* x = static_cast<const T*>(x_);
  F16 squares[kSums] = {};
  for_vectors(columns, [&](std::int64_t i, int n, int sum) {
    const F16 value = load_partial(x + i, n);
    squares[sum] = fma(value, value, squares[sum]);
  });
  const float mean = total(squares) / static_cast<float>(columns);
  const float inverse_rms = 1.0f / __builtin_sqrtf(mean + epsilon);
  for (std::int64_t i = 0; i < columns; i += kLanes) {
    const int n = lanes_left(columns - i);
    store_partial(y + i, load_partial(x + i, n) * inverse_rms * load_partial(gain + i, n), n);
  }
  return inverse_rms;
}

// With n = x * inverse_rms and g = dy * gain: dx = inverse_rms * (g - n * mean(g * n)).
template <class T>
void backward(void* dx_, bool accumulate, float* d_gain, const void* dy_, const void* x_,
              const float* gain, float inverse_rms, std::int64_t columns) {
  T* dx = static_cast<T*>(dx_);
  const T* dy = static_cast<const T*>(dy_);
  const T* x = static_cast<const T*>(x_);
  F16 products[kSums] = {};
  for_vectors(columns, [&](std::int64_t i, int n, int sum) {
    const F16 product = load_partial(dy + i, n) * load_partial(x + i, n);
    products[sum] = fma(product, load_partial(gain + i, n), products[sum]);
    if (d_gain != nullptr) {
      const F16 before = load_partial(d_gain + i, n);
      store_partial(d_gain + i, fma(product, broadcast(inverse_rms), before), n);
    }
  });
  if (dx == nullptr) return;
  const float mean = total(products) * inverse_rms / static_cast<float>(columns);
  const F16 back = broadcast(-mean * inverse_rms * inverse_rms);
  for (std::int64_t i = 0; i < columns; i += kLanes) {
    const int n = lanes_left(columns - i);
    const F16 g = load_partial(dy + i, n) * load_partial(gain + i, n);
    F16 value = fma(load_partial(x + i, n), back, g * inverse_rms);
    if (accumulate) value += load_partial(dx + i, n);
    store_partial(dx + i, value, n);
  }
}

}  // namespace

extern const RmsNormKernels rms_norm_kernels = {
    {forward<float>, forward<BFloat16>, forward<Half>},
    {backward<float>, backward<BFloat16>, backward<Half>},
};

}  // namespace ingot::cpu::INGOT_ISA

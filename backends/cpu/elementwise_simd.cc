#include "backends/cpu/elementwise_simd.h"

#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

template <typename Y>
void fill(void* y, float value, std::int64_t count) {
  Y* to = static_cast<Y*>(y);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    store_partial(to + i, broadcast(value), lanes_left(count - i));
  }
}

template <typename Y>
void scale(void* y, float factor, std::int64_t count) {
  Y* to = static_cast<Y*>(y);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    store_partial(to + i, load_partial(to + i, n) * factor, n);
  }
}

template <typename Y, typename X>
void add(void* y, const void* x, float factor, std::int64_t count) {
  Y* to = static_cast<Y*>(y);
  const X* from = static_cast<const X*>(x);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    const F16 sum = fma(load_partial(from + i, n), broadcast(factor), load_partial(to + i, n));
    store_partial(to + i, sum, n);
  }
}

template <typename Y, typename X>
void convert(void* y, const void* x, std::int64_t count) {
  Y* to = static_cast<Y*>(y);
  const X* from = static_cast<const X*>(x);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    store_partial(to + i, load_partial(from + i, n), n);
  }
}

template <typename X>
double sum_of_squares(const void* x, std::int64_t count) {
  const X* from = static_cast<const X*>(x);
  double total = 0;
  for (std::int64_t start = 0; start < count; start += 256) {
    const std::int64_t end = start + 256 < count ? start + 256 : count;
    F16 sum[4] = {zero(), zero(), zero(), zero()};  // one alone waits for the addition before
    std::int64_t i = start;
    for (; i + 4 * kLanes <= end; i += 4 * kLanes) {
      for (int j = 0; j < 4; ++j) {
        const F16 value = load(from + i + j * kLanes);
        sum[j] = fma(value, value, sum[j]);
      }
    }
    for (; i < end; i += kLanes) {
      const F16 value = load_partial(from + i, lanes_left(end - i));
      sum[0] = fma(value, value, sum[0]);
    }
    total += horizontal_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
  }
  return total;
}

template <typename X>
bool all_finite(const void* x, std::int64_t count) {
  const X* from = static_cast<const X*>(x);
  I16 bad{};
  for (std::int64_t i = 0; i < count; i += kLanes) {
    bad = bad | is_not_finite(load_partial(from + i, lanes_left(count - i)));
  }
  return !any(bad);
}

}  // namespace

extern const ElementwiseKernels elementwise_kernels = {
    {fill<float>, fill<BFloat16>, fill<Half>},
    {scale<float>, scale<BFloat16>, scale<Half>},
    {{add<float, float>, add<float, BFloat16>, add<float, Half>},
     {add<BFloat16, float>, add<BFloat16, BFloat16>, add<BFloat16, Half>},
     {add<Half, float>, add<Half, BFloat16>, add<Half, Half>}},
    {{convert<float, float>, convert<float, BFloat16>, convert<float, Half>},
     {convert<BFloat16, float>, convert<BFloat16, BFloat16>, convert<BFloat16, Half>},
     {convert<Half, float>, convert<Half, BFloat16>, convert<Half, Half>}},
    {sum_of_squares<float>, sum_of_squares<BFloat16>, sum_of_squares<Half>},
    {all_finite<float>, all_finite<BFloat16>, all_finite<Half>},
};

}  // namespace ingot::cpu::INGOT_ISA

#include "backends/cpu/simd_test_kernels.h"

#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

template <auto function>
void unary(const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    store_partial(y + i, function(load_partial(x + i, n)), n);
  }
}

template <auto function>
void binary(const float* a, const float* b, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    store_partial(y + i, function(load_partial(a + i, n), load_partial(b + i, n)), n);
  }
}

// The functions of simd.h must be inlined; these have an address.
F16 exp_(F16 a) { return exp(a); }
F16 log_(F16 a) { return log(a); }
F16 sigmoid_(F16 a) { return sigmoid(a); }
F16 tanh_(F16 a) { return tanh(a); }
F16 rsqrt_(F16 a) { return rsqrt(a); }
F16 sqrt_(F16 a) { return sqrt(a); }
F16 abs_(F16 a) { return abs(a); }
F16 negate(F16 a) { return -a; }
F16 round(F16 a) { return to_float(round_to_int(a)); }
F16 plus(F16 a, F16 b) { return a + b; }
F16 minus(F16 a, F16 b) { return a - b; }
F16 times(F16 a, F16 b) { return a * b; }
F16 over(F16 a, F16 b) { return a / b; }
F16 min_(F16 a, F16 b) { return min(a, b); }
F16 max_(F16 a, F16 b) { return max(a, b); }
F16 less(F16 a, F16 b) { return select(a < b, broadcast(1), zero()); }
F16 less_equal(F16 a, F16 b) { return select(a <= b, broadcast(1), zero()); }
F16 equal(F16 a, F16 b) { return select(a == b, broadcast(1), zero()); }

void fma_(const float* a, const float* b, const float* c, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    const F16 sum = fma(load_partial(a + i, n), load_partial(b + i, n), load_partial(c + i, n));
    store_partial(y + i, sum, n);
  }
}

float sum(const float* x) { return horizontal_sum(load(x)); }
float largest(const float* x) { return horizontal_max(load(x)); }
bool any_greater(const float* x, float limit) { return any(load(x) > broadcast(limit)); }
void numbers(std::int32_t* y) { store_int(y, lane_numbers()); }

void integers(const std::int32_t* x, std::int32_t* y) {
  const I16 a = load_int(x);
  const I16 b = ((a * broadcast_int(3)) << 2) - (a >> 3) + shift_right_logical(a, 5);
  const I16 c = (a & broadcast_int(0xff)) | (~b ^ a);
  store_int(y, select(a > b, b, select(a < c, c, select(a == c, a, b))));
}

template <typename T>
void to_16_bits(const float* x, std::uint16_t* y, std::int64_t count) {
  T* to = reinterpret_cast<T*>(y);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    store_partial(to + i, load_partial(x + i, n), n);
  }
}

template <typename T>
void from_16_bits(const std::uint16_t* x, float* y, std::int64_t count) {
  const T* from = reinterpret_cast<const T*>(x);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    store_partial(y + i, load_partial(from + i, n), n);
  }
}

}  // namespace

extern const SimdTestKernels simd_test_kernels = {
    unary<exp_>,
    unary<log_>,
    unary<sigmoid_>,
    unary<tanh_>,
    unary<rsqrt_>,
    unary<sqrt_>,
    unary<abs_>,
    unary<negate>,
    unary<round>,
    binary<plus>,
    binary<minus>,
    binary<times>,
    binary<over>,
    binary<min_>,
    binary<max_>,
    binary<less>,
    binary<less_equal>,
    binary<equal>,
    fma_,
    sum,
    largest,
    any_greater,
    numbers,
    integers,
    {to_16_bits<BFloat16>, to_16_bits<Half>},
    {from_16_bits<BFloat16>, from_16_bits<Half>},
};

}  // namespace ingot::cpu::INGOT_ISA

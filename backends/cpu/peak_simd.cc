#include "backends/cpu/peak_simd.h"

#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

// Enough independent sums to hide the latency (4 to 6 cycles, 2 a cycle), few enough to stay in
// registers.
constexpr int kSums = 12 / kParts;

template <typename Step>
INGOT_SIMD void repeat(std::int64_t iterations, const Step& step) {
  F16 a = broadcast(1.0f), b = zero(), sum[kSums] = {};
  touch(a);
  touch(b);
  for (std::int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < kSums; ++j) sum[j] = step(a, b, sum[j]);
    for (int j = 0; j < kSums; ++j) touch(sum[j]);
  }
}

double multiply_add_f32(std::int64_t iterations) {
  repeat(iterations, [](F16 a, F16 b, F16 sum) { return fma(a, b, sum); });
  return 2.0 * kLanes * kSums * static_cast<double>(iterations);
}

#if defined(__AVX512BF16__)
double multiply_add_bf16(std::int64_t iterations) {
  repeat(iterations, [](F16 a, F16 b, F16 sum) {
    sum.part[0] = _mm512_dpbf16_ps(sum.part[0], (__m512bh)a.part[0], (__m512bh)b.part[0]);
    return sum;
  });
  return 4.0 * kLanes * kSums * static_cast<double>(iterations);
}
#endif

#if defined(__AVX512VNNI__)
double multiply_add_int8(std::int64_t iterations) {
  repeat(iterations, [](F16 a, F16 b, F16 sum) {
    sum.part[0] =
        (__m512)_mm512_dpbusd_epi32((__m512i)sum.part[0], (__m512i)a.part[0], (__m512i)b.part[0]);
    return sum;
  });
  return 8.0 * kLanes * kSums * static_cast<double>(iterations);
}
#endif

float read(const float* from, std::int64_t bytes) {
  F16 sum[4] = {};
  for (std::int64_t i = 0; i < bytes / 4; i += 4 * kLanes) {
    for (int j = 0; j < 4; ++j) sum[j] += load(from + i + j * kLanes);
  }
  return horizontal_sum(sum[0] + sum[1] + sum[2] + sum[3]);
}

void update(float* values, std::int64_t bytes, float factor) {
  for (std::int64_t i = 0; i < bytes / 4; i += kLanes) {
    store(values + i, load(values + i) * factor);
  }
}

}  // namespace

extern const PeakKernels peak_kernels = {
    multiply_add_f32,
#if defined(__AVX512BF16__)
    multiply_add_bf16,
#else
    nullptr,
#endif
#if defined(__AVX512VNNI__)
    multiply_add_int8,
#else
    nullptr,
#endif
    read,
    update,
};

}  // namespace ingot::cpu::INGOT_ISA

// Functions of backends/cpu/simd.h's vectors, with their errors in units of the last place.
#pragma once

#include "backends/cpu/simd_lanes.h"

#ifdef INGOT_ISA

namespace ingot::cpu::INGOT_ISA {

INGOT_SIMD F16 sqrt(F16 a) {
  for (int i = 0; i < kParts; ++i) {
#if defined(__AVX512F__)
    a.part[i] = _mm512_sqrt_ps(a.part[i]);
#elif defined(__AVX2__)
    a.part[i] = _mm256_sqrt_ps(a.part[i]);
#else
    a.part[i] = _mm_sqrt_ps(a.part[i]);
#endif
  }
  return a;
}
// 1 / sqrt(a) in full precision (two roundings).
INGOT_SIMD F16 rsqrt(F16 a) { return 1.0f / sqrt(a); }

// e^a: within 2 ulp where the result is normal; 0 below -104, infinity above 88.73; NaN for NaN.
// a = n ln 2 + r, |r| <= ln 2 / 2; ln 2 in two parts, of which n times the first is exact.
#if defined(__AVX512F__)
INGOT_SIMD F16 exp(F16 a) {
  F16 n, r;
  n.part[0] = _mm512_roundscale_ps((a * 1.44269504f).part[0], 0);
  r = fma(n, broadcast(2.12194440e-4f), fma(n, broadcast(-0.693359375f), a));
  // Where a is huge r is noise, or NaN: any number near 0, since n is huge, too.
  constexpr int kSmallerMagnitude = 2;
  r.part[0] = _mm512_range_ps(r.part[0], broadcast(0.4f).part[0], kSmallerMagnitude);
  F16 p = broadcast(1.3814467e-3f);  // coefficients: minimax of (e^r - 1 - r) / r^2 e^r
  p = fma(p, r, broadcast(8.3687805e-3f));
  p = fma(p, r, broadcast(4.16683942e-2f));
  p = fma(p, r, broadcast(1.66665201e-1f));
  p = fma(p, r, broadcast(4.99999934e-1f));
  p = fma(p, r, broadcast(1.0f));
  p = fma(p, r, broadcast(1.0f));
  p.part[0] = _mm512_scalef_ps(p.part[0], n.part[0]);
  return p;
}
#else
INGOT_SIMD F16 exp(F16 a) {
  const F16 x = min(broadcast(89.0f), max(broadcast(-104.0f), a));
  const I16 n = round_to_int(x * 1.44269504f);
  const F16 whole = to_float(n);
  const F16 r = fma(whole, broadcast(2.12194440e-4f), fma(whole, broadcast(-0.693359375f), x));
  F16 p = broadcast(1.9875691500e-4f);  // coefficients: Cephes, expf
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  p = fma(p, r * r, r) + 1.0f;
  // Two factors, since 2^128 and 2^-150 are no floats.
  const I16 half = n >> 1;
  const F16 first = bits_to_float((half + broadcast_int(127)) << 23);
  const F16 second = bits_to_float((n - half + broadcast_int(127)) << 23);
  return p * first * second;
}
#endif

// Natural logarithm: within 2 ulp; -infinity for 0, NaN below 0, infinity for infinity.
INGOT_SIMD F16 log(F16 a) {
  const I16 subnormal = a < broadcast(0x1p-126f);
  const I16 word = float_to_bits(select(subnormal, a * 0x1p23f, a));
  // a = m 2^e with m in [sqrt(1/2), sqrt(2))
  const I16 shifted = word - broadcast_int(0x3f3504f3);
  const F16 e = to_float((shifted >> 23) - (subnormal & broadcast_int(23)));
  const I16 mantissa = (shifted & broadcast_int(0x007fffff)) + broadcast_int(0x3f3504f3);
  const F16 x = bits_to_float(mantissa) - 1.0f;
  const F16 z = x * x;
  F16 p = broadcast(7.0376836292e-2f);  // coefficients: Cephes, logf
  p = fma(p, x, broadcast(-1.1514610310e-1f));
  p = fma(p, x, broadcast(1.1676998740e-1f));
  p = fma(p, x, broadcast(-1.2420140846e-1f));
  p = fma(p, x, broadcast(1.4249322787e-1f));
  p = fma(p, x, broadcast(-1.6668057665e-1f));
  p = fma(p, x, broadcast(2.0000714765e-1f));
  p = fma(p, x, broadcast(-2.4999993993e-1f));
  p = fma(p, x, broadcast(3.3333331174e-1f));
  F16 y = p * x * z;
  y = fma(e, broadcast(-2.12194440e-4f), y);
  y = fma(z, broadcast(-0.5f), y);
  y = fma(e, broadcast(0.693359375f), x + y);
  y = select(a == broadcast(__builtin_inff()), a, y);
  y = select(a == zero(), broadcast(-__builtin_inff()), y);
  return select(a >= zero(), y, broadcast(__builtin_nanf("")));
}

// 1 / (1 + e^-a)
INGOT_SIMD F16 sigmoid(F16 a) { return 1.0f / (1.0f + exp(-a)); }

// Within 3 ulp.
INGOT_SIMD F16 tanh(F16 a) {
  const F16 z = a * a;
  F16 p = broadcast(-5.70498872745e-3f);  // coefficients: Cephes, tanhf
  p = fma(p, z, broadcast(2.06390887954e-2f));
  p = fma(p, z, broadcast(-5.37397155531e-2f));
  p = fma(p, z, broadcast(1.33314422036e-1f));
  p = fma(p, z, broadcast(-3.33332819422e-1f));
  const F16 near_zero = fma(p * z, a, a);
  const F16 far = 1.0f - 2.0f / (exp(a + a) + 1.0f);
  return select(abs(a) < broadcast(0.625f), near_zero, far);
}

}  // namespace ingot::cpu::INGOT_ISA

#endif  // INGOT_ISA

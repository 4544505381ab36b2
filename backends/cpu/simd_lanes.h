// The vectors of backends/cpu/simd.h, F16 and I16: arithmetic, comparison and choice, lane by lane,
// and over all lanes.
#pragma once

#ifdef INGOT_ISA

#if defined(__x86_64__)
#include <immintrin.h>
#else  // Debian's libsimde-dev: SSE2 by what this CPU has, lane by lane the same
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/sse2.h>
using __m128 = simde__m128;
using __m128i = simde__m128i;
using __m128i_u = simde__m128i;  // read and written wherever it lies
#endif

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu::INGOT_ISA {

#define INGOT_SIMD static inline __attribute__((always_inline))

inline constexpr int kLanes = 16;

// A struct of native registers, not one 64-byte vector: g++ 12 keeps a vector that is wider than
// the machine's in memory, the members of a struct in registers.
#if defined(__AVX512F__)
inline constexpr int kParts = 1;
#elif defined(__AVX2__)
inline constexpr int kParts = 2;
#else
inline constexpr int kParts = 4;
#endif
inline constexpr int kPartLanes = kLanes / kParts;

typedef float FloatPart __attribute__((vector_size(4 * kPartLanes)));
typedef std::int32_t IntPart __attribute__((vector_size(4 * kPartLanes)));
typedef std::uint32_t WordPart __attribute__((vector_size(4 * kPartLanes)));
typedef float FloatPartAnywhere __attribute__((vector_size(4 * kPartLanes), aligned(4), may_alias));
typedef std::int32_t IntPartAnywhere
    __attribute__((vector_size(4 * kPartLanes), aligned(4), may_alias));

struct F16 {
  FloatPart part[kParts];
};
// Also the result of comparisons: all bits of a lane set, or none.
struct I16 {
  IntPart part[kParts];
};

// For measuring: the compiler neither computes the value beforehand nor leaves it out.
INGOT_SIMD void touch(F16& value) {
  for (int i = 0; i < kParts; ++i) {
#if defined(__x86_64__)
    asm volatile("" : "+v"(value.part[i]));
#else
    asm volatile("" : "+w"(value.part[i]));
#endif
  }
}

// ---- Arithmetic ---------------------------------------------------------------------------

INGOT_SIMD F16 broadcast(float value) {
  F16 result;
  for (int i = 0; i < kParts; ++i) result.part[i] = value - FloatPart{};
  return result;
}
INGOT_SIMD I16 broadcast_int(std::int32_t value) {
  I16 result;
  for (int i = 0; i < kParts; ++i) result.part[i] = value - IntPart{};
  return result;
}
INGOT_SIMD F16 zero() { return F16{}; }

INGOT_SIMD F16 operator+(F16 a, F16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] += b.part[i];
  return a;
}
INGOT_SIMD F16 operator-(F16 a, F16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] -= b.part[i];
  return a;
}
INGOT_SIMD F16 operator*(F16 a, F16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] *= b.part[i];
  return a;
}
INGOT_SIMD F16 operator/(F16 a, F16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] /= b.part[i];
  return a;
}
INGOT_SIMD F16 operator-(F16 a) {
  for (int i = 0; i < kParts; ++i) a.part[i] = -a.part[i];
  return a;
}
INGOT_SIMD F16 operator+(F16 a, float b) { return a + broadcast(b); }
INGOT_SIMD F16 operator-(F16 a, float b) { return a - broadcast(b); }
INGOT_SIMD F16 operator*(F16 a, float b) { return a * broadcast(b); }
INGOT_SIMD F16 operator/(F16 a, float b) { return a / broadcast(b); }
INGOT_SIMD F16 operator+(float a, F16 b) { return broadcast(a) + b; }
INGOT_SIMD F16 operator-(float a, F16 b) { return broadcast(a) - b; }
INGOT_SIMD F16 operator*(float a, F16 b) { return broadcast(a) * b; }
INGOT_SIMD F16 operator/(float a, F16 b) { return broadcast(a) / b; }
INGOT_SIMD F16& operator+=(F16& a, F16 b) { return a = a + b; }
INGOT_SIMD F16& operator-=(F16& a, F16 b) { return a = a - b; }
INGOT_SIMD F16& operator*=(F16& a, F16 b) { return a = a * b; }

// a * b + c; one rounding from v3 on.
INGOT_SIMD F16 fma(F16 a, F16 b, F16 c) {
  for (int i = 0; i < kParts; ++i) c.part[i] = a.part[i] * b.part[i] + c.part[i];
  return c;
}

INGOT_SIMD I16 operator+(I16 a, I16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] = (IntPart)((WordPart)a.part[i] + (WordPart)b.part[i]);
  return a;
}
INGOT_SIMD I16 operator-(I16 a, I16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] = (IntPart)((WordPart)a.part[i] - (WordPart)b.part[i]);
  return a;
}
INGOT_SIMD I16 operator*(I16 a, I16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] = (IntPart)((WordPart)a.part[i] * (WordPart)b.part[i]);
  return a;
}
INGOT_SIMD I16 operator&(I16 a, I16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] &= b.part[i];
  return a;
}
INGOT_SIMD I16 operator|(I16 a, I16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] |= b.part[i];
  return a;
}
INGOT_SIMD I16 operator^(I16 a, I16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] ^= b.part[i];
  return a;
}
INGOT_SIMD I16 operator~(I16 a) {
  for (int i = 0; i < kParts; ++i) a.part[i] = ~a.part[i];
  return a;
}
INGOT_SIMD I16 operator<<(I16 a, int bits) {
  for (int i = 0; i < kParts; ++i) a.part[i] = (IntPart)((WordPart)a.part[i] << bits);
  return a;
}
INGOT_SIMD I16 operator>>(I16 a, int bits) {  // keeps the sign
  for (int i = 0; i < kParts; ++i) a.part[i] >>= bits;
  return a;
}
INGOT_SIMD I16 shift_right_logical(I16 a, int bits) {
  for (int i = 0; i < kParts; ++i) a.part[i] = (IntPart)((WordPart)a.part[i] >> bits);
  return a;
}

// ---- Comparison and choice ----------------------------------------------------------------

INGOT_SIMD I16 operator<(F16 a, F16 b) {
  I16 result;
  for (int i = 0; i < kParts; ++i) result.part[i] = a.part[i] < b.part[i];
  return result;
}
INGOT_SIMD I16 operator<=(F16 a, F16 b) {
  I16 result;
  for (int i = 0; i < kParts; ++i) result.part[i] = a.part[i] <= b.part[i];
  return result;
}
INGOT_SIMD I16 operator>(F16 a, F16 b) { return b < a; }
INGOT_SIMD I16 operator>=(F16 a, F16 b) { return b <= a; }
INGOT_SIMD I16 operator==(F16 a, F16 b) {
  I16 result;
  for (int i = 0; i < kParts; ++i) result.part[i] = a.part[i] == b.part[i];
  return result;
}
INGOT_SIMD I16 operator==(I16 a, I16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] = a.part[i] == b.part[i];
  return a;
}
INGOT_SIMD I16 operator>(I16 a, I16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] = a.part[i] > b.part[i];
  return a;
}
INGOT_SIMD I16 operator<(I16 a, I16 b) { return b > a; }

// mask ? a : b, lane by lane; mask comes from a comparison.
INGOT_SIMD F16 select(I16 mask, F16 a, F16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] = mask.part[i] ? a.part[i] : b.part[i];
  return a;
}
INGOT_SIMD I16 select(I16 mask, I16 a, I16 b) {
  for (int i = 0; i < kParts; ++i) a.part[i] = mask.part[i] ? a.part[i] : b.part[i];
  return a;
}

// When a lane of either is NaN: the lane of b.
INGOT_SIMD F16 min(F16 a, F16 b) {
  for (int i = 0; i < kParts; ++i) {
#if defined(__AVX512F__)
    a.part[i] = _mm512_min_ps(a.part[i], b.part[i]);
#elif defined(__AVX2__)
    a.part[i] = _mm256_min_ps(a.part[i], b.part[i]);
#else
    a.part[i] = _mm_min_ps(a.part[i], b.part[i]);
#endif
  }
  return a;
}
INGOT_SIMD F16 max(F16 a, F16 b) {
  for (int i = 0; i < kParts; ++i) {
#if defined(__AVX512F__)
    a.part[i] = _mm512_max_ps(a.part[i], b.part[i]);
#elif defined(__AVX2__)
    a.part[i] = _mm256_max_ps(a.part[i], b.part[i]);
#else
    a.part[i] = _mm_max_ps(a.part[i], b.part[i]);
#endif
  }
  return a;
}

INGOT_SIMD F16 bits_to_float(I16 a) {
  F16 result;
  for (int i = 0; i < kParts; ++i) result.part[i] = (FloatPart)a.part[i];
  return result;
}
INGOT_SIMD I16 float_to_bits(F16 a) {
  I16 result;
  for (int i = 0; i < kParts; ++i) result.part[i] = (IntPart)a.part[i];
  return result;
}
INGOT_SIMD F16 to_float(I16 a) {
  F16 result;
  for (int i = 0; i < kParts; ++i) result.part[i] = __builtin_convertvector(a.part[i], FloatPart);
  return result;
}
// Nearest integer, ties to even. Outside of int32: the smallest int32.
INGOT_SIMD I16 round_to_int(F16 a) {
  I16 result;
  for (int i = 0; i < kParts; ++i) {
#if defined(__AVX512F__)
    result.part[i] = (IntPart)_mm512_cvtps_epi32(a.part[i]);
#elif defined(__AVX2__)
    result.part[i] = (IntPart)_mm256_cvtps_epi32(a.part[i]);
#else
    result.part[i] = (IntPart)_mm_cvtps_epi32(a.part[i]);
#endif
  }
  return result;
}

INGOT_SIMD F16 abs(F16 a) { return bits_to_float(float_to_bits(a) & broadcast_int(0x7fffffff)); }
// All bits set where a is NaN or infinite.
INGOT_SIMD I16 is_not_finite(F16 a) {
  return (float_to_bits(a) & broadcast_int(0x7fffffff)) > broadcast_int(0x7f7fffff);
}
INGOT_SIMD I16 is_nan(F16 a) {
  return (float_to_bits(a) & broadcast_int(0x7fffffff)) > broadcast_int(0x7f800000);
}

// 0, 1, ... 15
INGOT_SIMD I16 lane_numbers() {
  I16 result;
  for (int i = 0; i < kParts; ++i) {
    for (int lane = 0; lane < kPartLanes; ++lane) result.part[i][lane] = i * kPartLanes + lane;
  }
  return result;
}

// ---- Across lanes -------------------------------------------------------------------------

namespace detail {

// Lanes i, i + 4, i + 8 and i + 12 made one by `fold`: (i, i + 8), (i + 4, i + 12), then these.
template <typename Fold>
INGOT_SIMD __m128 fold_to_four(F16 a, const Fold& fold) {
#if defined(__AVX512F__)
  const __m256 low = _mm512_castps512_ps256(a.part[0]);
  const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.part[0]), 1));
  const __m256 eight = fold(low, high);
#elif defined(__AVX2__)
  const __m256 eight = fold(a.part[0], a.part[1]);
#endif
#if defined(__AVX2__)
  return fold(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
#else
  return fold(fold(a.part[0], a.part[2]), fold(a.part[1], a.part[3]));
#endif
}

}  // namespace detail

// Always in the order ((0+8)+(4+12)) + ..., at every level.
INGOT_SIMD float horizontal_sum(F16 a) {
  const auto add = [](auto x, auto y) { return x + y; };
  const __m128 four = detail::fold_to_four(a, add);
  const __m128 two = four + _mm_movehl_ps(four, four);
  return two[0] + two[1];
}
// NaN lanes may be passed over.
INGOT_SIMD float horizontal_max(F16 a) {
  const auto larger = [](auto x, auto y) { return x > y ? x : y; };
  const __m128 four = detail::fold_to_four(a, larger);
  const __m128 two = larger(four, _mm_movehl_ps(four, four));
  return two[0] > two[1] ? two[0] : two[1];
}
INGOT_SIMD bool any(I16 mask) {
  I16 all = mask;
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)all.part[0], (__m512i)all.part[0]) != 0;
#elif defined(__AVX2__)
  all.part[0] |= all.part[1];
  return !_mm256_testz_si256((__m256i)all.part[0], (__m256i)all.part[0]);
#else
  all.part[0] |= all.part[1] | all.part[2] | all.part[3];
  return _mm_movemask_epi8((__m128i)all.part[0]) != 0;
#endif
}

}  // namespace ingot::cpu::INGOT_ISA

#endif  // INGOT_ISA

// Sixteen lanes of float or int32, for kernels compiled by isa_library: one source, compiled for
// SSE2 (base), AVX2 (v3) and AVX-512 (v4, v4_bf16). No headers with functions, nothing that leaks
// out of `namespace ingot::cpu::INGOT_ISA`; outside isa_library only the storage types are seen.
//
//   for (std::int64_t i = 0; i < count; i += kLanes) {     // T: float, BFloat16 or Half
//     const int n = lanes_left(count - i);                 // 16, fewer at the tail
//     store_partial(y + i, sigmoid(load_partial(x + i, n)), n);
//   }
//
// What differs between levels: a * b + c is one rounding from v3 on, two at base. So each level
// gives its own bits, always the same ones.
// No alignment is asked for anywhere.
#pragma once

#include <cstdint>

#include "backends/cpu/isa.h"

namespace ingot::cpu {

// 16-bit floats in memory; arithmetic is done in float.
struct BFloat16 {
  std::uint16_t bits;
};
struct Half {  // IEEE binary16
  std::uint16_t bits;
};

}  // namespace ingot::cpu

#ifdef INGOT_ISA

#include <immintrin.h>

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

// ---- Memory -------------------------------------------------------------------------------

// How many lanes a loop step has work for when `count` elements are left: 0..16.
INGOT_SIMD int lanes_left(std::int64_t count) {
  return count < kLanes ? static_cast<int>(count) : kLanes;
}

INGOT_SIMD I16 load_int(const std::int32_t* from) {
  I16 result;
  for (int i = 0; i < kParts; ++i) {
    result.part[i] = *(const IntPartAnywhere*)(from + i * kPartLanes);
  }
  return result;
}
INGOT_SIMD void store_int(std::int32_t* to, I16 value) {
  for (int i = 0; i < kParts; ++i) *(IntPartAnywhere*)(to + i * kPartLanes) = value.part[i];
}

namespace detail {

template <typename A, typename B>
inline constexpr bool same = false;
template <typename A>
inline constexpr bool same<A, A> = true;

// Zero-extends 16 words of 16 bits into the upper half of each lane.
INGOT_SIMD I16 load_high_half(const std::uint16_t* from) {
  I16 result;
#if defined(__AVX512F__)
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u*)from));
  result.part[0] = (IntPart)_mm512_slli_epi32(wide, 16);
#elif defined(__AVX2__)
  for (int i = 0; i < kParts; ++i) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i_u*)(from + 8 * i)));
    result.part[i] = (IntPart)_mm256_slli_epi32(wide, 16);
  }
#else
  for (int i = 0; i < kParts; i += 2) {
    const __m128i words = _mm_loadu_si128((const __m128i_u*)(from + 4 * i));
    result.part[i] = (IntPart)_mm_unpacklo_epi16(_mm_setzero_si128(), words);
    result.part[i + 1] = (IntPart)_mm_unpackhi_epi16(_mm_setzero_si128(), words);
  }
#endif
  return result;
}

// Stores the upper half of each lane as 16 words of 16 bits.
INGOT_SIMD void store_high_half(std::uint16_t* to, I16 value) {
#if defined(__AVX512F__)
  const __m512i high = _mm512_srli_epi32((__m512i)value.part[0], 16);
  _mm256_storeu_si256((__m256i_u*)to, _mm512_cvtepi32_epi16(high));
#elif defined(__AVX2__)
  const __m256i packed = _mm256_packs_epi32(_mm256_srai_epi32((__m256i)value.part[0], 16),
                                            _mm256_srai_epi32((__m256i)value.part[1], 16));
  _mm256_storeu_si256((__m256i_u*)to, _mm256_permute4x64_epi64(packed, 0xd8));
#else
  for (int i = 0; i < kParts; i += 2) {
    const __m128i packed = _mm_packs_epi32(_mm_srai_epi32((__m128i)value.part[i], 16),
                                           _mm_srai_epi32((__m128i)value.part[i + 1], 16));
    _mm_storeu_si128((__m128i_u*)(to + 4 * i), packed);
  }
#endif
}

// The bits of bf16 in the upper half of each lane: nearest, ties to even; NaN stays NaN.
INGOT_SIMD I16 round_to_high_half(F16 value) {
  const I16 word = float_to_bits(value);
  const I16 odd = shift_right_logical(word, 16) & broadcast_int(1);
  const I16 rounded = word + broadcast_int(0x7fff) + odd;
  return select(is_nan(value), word | broadcast_int(0x00400000), rounded);
}

#if !defined(__F16C__)
INGOT_SIMD F16 half_to_float(I16 high_half) {
  const I16 sign = high_half & broadcast_int(static_cast<std::int32_t>(0x80000000u));
  const I16 magnitude = shift_right_logical(high_half & broadcast_int(0x7fff0000), 3);
  // Exponents differ by 112; the product also makes subnormals normal.
  const I16 finite = float_to_bits(bits_to_float(magnitude) * 0x1p112f);
  const I16 special = magnitude | broadcast_int(0x7f800000);
  return bits_to_float(sign | select(magnitude > broadcast_int(0x0f7fffff), special, finite));
}

INGOT_SIMD I16 float_to_half(F16 value) {  // in the upper half of each lane
  const I16 word = float_to_bits(value);
  const I16 magnitude = word & broadcast_int(0x7fffffff);
  const I16 odd = shift_right_logical(magnitude, 13) & broadcast_int(1);
  const I16 rebased = magnitude - broadcast_int(0x38000000);
  I16 half = shift_right_logical(rebased + broadcast_int(0xfff) + odd, 13);
  // Below 2^-14: the last bit of 0.5 + x is worth 2^-24, as in a subnormal half.
  const I16 subnormal = float_to_bits(bits_to_float(magnitude) + 0.5f) - broadcast_int(0x3f000000);
  half = select(magnitude < broadcast_int(0x38800000), subnormal, half);
  half = select(magnitude > broadcast_int(0x477fefff), broadcast_int(0x7c00), half);  // >= 65520
  half = select(magnitude > broadcast_int(0x7f800000), broadcast_int(0x7e00), half);
  return (half << 16) | (word & broadcast_int(static_cast<std::int32_t>(0x80000000u)));
}
#endif

}  // namespace detail

// Sixteen elements of float, BFloat16 or Half.
template <typename T>
INGOT_SIMD F16 load(const T* from) {
  F16 result;
  if constexpr (detail::same<T, float>) {
    for (int i = 0; i < kParts; ++i) {
      result.part[i] = *(const FloatPartAnywhere*)(from + i * kPartLanes);
    }
  } else if constexpr (detail::same<T, BFloat16>) {
    result = bits_to_float(detail::load_high_half((const std::uint16_t*)from));
  } else {
    static_assert(detail::same<T, Half>);
#if defined(__AVX512F__)
    result.part[0] = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u*)from));
#elif defined(__F16C__)
    for (int i = 0; i < kParts; ++i) {
      result.part[i] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u*)(from + 8 * i)));
    }
#else
    result = detail::half_to_float(detail::load_high_half((const std::uint16_t*)from));
#endif
  }
  return result;
}

// Rounds to nearest, ties to even; NaN stays NaN; Half overflows to infinity. BFloat16 at level
// v4_bf16 uses the CPU's instruction, which turns subnormals (below 1.2e-38) into zeros.
template <typename T>
INGOT_SIMD void store(T* to, F16 value) {
  if constexpr (detail::same<T, float>) {
    for (int i = 0; i < kParts; ++i) *(FloatPartAnywhere*)(to + i * kPartLanes) = value.part[i];
  } else if constexpr (detail::same<T, BFloat16>) {
#if defined(__AVX512BF16__)
    _mm256_storeu_si256((__m256i_u*)to, (__m256i)_mm512_cvtneps_pbh(value.part[0]));
#else
    detail::store_high_half((std::uint16_t*)to, detail::round_to_high_half(value));
#endif
  } else {
    static_assert(detail::same<T, Half>);
#if defined(__AVX512F__)
    _mm256_storeu_si256((__m256i_u*)to, _mm512_cvtps_ph(value.part[0], _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
    for (int i = 0; i < kParts; ++i) {
      _mm_storeu_si128((__m128i_u*)(to + 8 * i),
                       _mm256_cvtps_ph(value.part[i], _MM_FROUND_TO_NEAREST_INT));
    }
#else
    detail::store_high_half((std::uint16_t*)to, detail::float_to_half(value));
#endif
  }
}

// The first `count` (0..16) elements, 0 in the other lanes. Touches no memory beyond them.
template <typename T>
INGOT_SIMD F16 load_partial(const T* from, int count) {
  if (count == kLanes) return load(from);
#if defined(__AVX512BW__)
  const __mmask16 mask = static_cast<__mmask16>((1u << count) - 1u);
  F16 result;
  if constexpr (detail::same<T, float>) {
    result.part[0] = _mm512_maskz_loadu_ps(mask, from);
  } else {
    const __m256i words = _mm256_maskz_loadu_epi16(mask, from);
    if constexpr (detail::same<T, BFloat16>) {
      result.part[0] = (FloatPart)_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16);
    } else {
      result.part[0] = _mm512_cvtph_ps(words);
    }
  }
  return result;
#else
  T buffer[kLanes] = {};
  for (int i = 0; i < count; ++i) buffer[i] = from[i];
  return load(buffer);
#endif
}

// Writes the first `count` (0..16) lanes and nothing else.
template <typename T>
INGOT_SIMD void store_partial(T* to, F16 value, int count) {
  if (count == kLanes) return store(to, value);
#if defined(__AVX512BW__)
  const __mmask16 mask = static_cast<__mmask16>((1u << count) - 1u);
  if constexpr (detail::same<T, float>) {
    _mm512_mask_storeu_ps(to, mask, value.part[0]);
  } else {
    T buffer[kLanes];
    store(buffer, value);
    _mm256_mask_storeu_epi16(to, mask, _mm256_loadu_si256((const __m256i_u*)buffer));
  }
#else
  T buffer[kLanes];
  store(buffer, value);
  for (int i = 0; i < count; ++i) to[i] = buffer[i];
#endif
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

// ---- Functions ----------------------------------------------------------------------------

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

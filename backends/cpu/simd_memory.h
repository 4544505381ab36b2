// The storage types of numbers, and how backends/cpu/simd.h's vectors come from memory and go back.
// No alignment is asked for anywhere.
#pragma once

#include <cstdint>

#include "backends/cpu/simd_lanes.h"

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

namespace ingot::cpu::INGOT_ISA {

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

}  // namespace ingot::cpu::INGOT_ISA

#endif  // INGOT_ISA

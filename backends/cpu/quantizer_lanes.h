// Sixteen lanes of engine/numbers/quantizer.h, for kernels compiled by isa_library: the same bits
// as the scalar form at every level. Products are kept apart from sums, so that no level fuses
// them.
#pragma once

#include "backends/cpu/simd.h"
#include "engine/numbers/rounding_table.h"

#ifdef INGOT_ISA

namespace ingot::cpu::INGOT_ISA {

// ---- Groups -------------------------------------------------------------------------------

// Magnitudes are compared as integers, which are ordered like the floats, NaN above infinity.
template <typename T>
struct Magnitude {  // of f16
  typedef std::int16_t Bits;
  static constexpr Bits kMask = 0x7fff;
  INGOT_SIMD float value(Bits bits) { return load_partial((const Half*)&bits, 1).part[0][0]; }
};
template <>
struct Magnitude<BFloat16> {
  typedef std::int16_t Bits;
  static constexpr Bits kMask = 0x7fff;
  INGOT_SIMD float value(Bits bits) { return __builtin_bit_cast(float, bits << 16); }
};
template <>
struct Magnitude<float> {
  typedef std::int32_t Bits;
  static constexpr Bits kMask = 0x7fffffff;
  INGOT_SIMD float value(Bits bits) { return __builtin_bit_cast(float, bits); }
};

// The largest lane of a register.
template <typename Bits>
INGOT_SIMD Bits largest_lane(__m128i lanes) {
  typedef Bits Vector __attribute__((vector_size(16)));
  Vector largest = (Vector)lanes;
  const auto fold = [&](__m128i other) __attribute__((always_inline)) {
    largest = largest > (Vector)other ? largest : (Vector)other;
  };
  fold(_mm_shuffle_epi32((__m128i)largest, 0x4e));
  fold(_mm_shuffle_epi32((__m128i)largest, 0xb1));
  if (sizeof(Bits) == 2) fold(_mm_srli_epi32((__m128i)largest, 16));
  return largest[0];
}
#if defined(__AVX2__)
template <typename Bits>
INGOT_SIMD Bits largest_lane(__m256i lanes) {
  typedef Bits Vector __attribute__((vector_size(16)));
  const Vector low = (Vector)_mm256_castsi256_si128(lanes);
  const Vector high = (Vector)_mm256_extracti128_si256(lanes, 1);
  return largest_lane<Bits>((__m128i)(low > high ? low : high));
}
#endif
#if defined(__AVX512F__)
template <typename Bits>
INGOT_SIMD Bits largest_lane(__m512i lanes) {
  typedef Bits Vector __attribute__((vector_size(32)));
  const Vector low = (Vector)_mm512_castsi512_si256(lanes);
  const Vector high = (Vector)_mm512_extracti64x4_epi64(lanes, 1);
  return largest_lane<Bits>((__m256i)(low > high ? low : high));
}
#endif

// max |x| of `count` elements, or something that is not finite.
template <typename T>
INGOT_SIMD float amax_of(const T* x, std::int64_t count) {
  typedef typename Magnitude<T>::Bits Bits;
  constexpr int kBytes = 4 * kPartLanes, kCount = kBytes / (int)sizeof(Bits);
  constexpr Bits kMask = Magnitude<T>::kMask;
  typedef Bits Vector __attribute__((vector_size(kBytes)));
  typedef Bits VectorAnywhere __attribute__((vector_size(kBytes), aligned(2), may_alias));
  Vector largest[2] = {};
  std::int64_t i = 0;
  const auto take = [&](int which) __attribute__((always_inline)) {
    const Vector magnitude = *(const VectorAnywhere*)(x + i) & kMask;
    largest[which] = largest[which] > magnitude ? largest[which] : magnitude;
    i += kCount;
  };
  while (i + 2 * kCount <= count) {
    take(0);
    take(1);
  }
  if (i + kCount <= count) take(0);
  if (i < count) {
    Bits rest[kCount] = {};
    __builtin_memcpy(rest, x + i, (count - i) * sizeof(T));
    const Vector magnitude = *(const VectorAnywhere*)rest & kMask;
    largest[1] = largest[1] > magnitude ? largest[1] : magnitude;
  }
  typedef __typeof__(__m128i{}[0]) Word;  // of intrinsics' registers: long long, or long
  typedef Word Register __attribute__((vector_size(kBytes), may_alias));
  const Vector both = largest[0] > largest[1] ? largest[0] : largest[1];
  return Magnitude<T>::value(largest_lane<Bits>((Register)both));
}

// quantizer_scale() of quantizer.h: returns 1 / scale, or 0.
INGOT_SIMD float scale_of(float amax, float* scale) {
  const bool finite = amax <= 0x1.fffffep127f;
  if (finite && amax >= 127 * 0x1p-126f) {
    *scale = amax / 127.0f;
    return 127.0f / amax;
  }
  *scale = finite ? 0.0f : __builtin_nanf("");
  return 0;
}

// ---- Codes --------------------------------------------------------------------------------

// Codes in lanes may be outside -127..127 (NaN: far below): storing them clamps.
INGOT_SIMD I16 nearest_codes(F16 x, F16 inverse) { return round_to_int(x * inverse); }

// rounding_row_key()
INGOT_SIMD std::uint64_t row_key_of(std::uint64_t key, std::int64_t row) {
  std::uint64_t z = key + (static_cast<std::uint64_t>(row) + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

// Sixteen numbers of kRoundingTable, masked.
INGOT_SIMD I16 table_lanes(const std::uint16_t* from, std::uint32_t mask) {
  I16 wide;
#if defined(__AVX512F__)
  const __m256i words = _mm256_loadu_si256((const __m256i_u*)from);
  const __m256i masks = _mm256_set1_epi16((short)mask);
  wide.part[0] = (IntPart)_mm512_cvtepu16_epi32(_mm256_xor_si256(words, masks));
#elif defined(__AVX2__)
  const __m128i masks = _mm_set1_epi16((short)mask);
  for (int i = 0; i < kParts; ++i) {
    const __m128i words = _mm_loadu_si128((const __m128i_u*)(from + 8 * i));
    wide.part[i] = (IntPart)_mm256_cvtepu16_epi32(_mm_xor_si128(words, masks));
  }
#else
  const __m128i masks = _mm_set1_epi16((short)mask);
  for (int i = 0; i < kParts; i += 2) {
    const __m128i words = _mm_xor_si128(_mm_loadu_si128((const __m128i_u*)(from + 4 * i)), masks);
    wide.part[i] = (IntPart)_mm_unpacklo_epi16(words, _mm_setzero_si128());
    wide.part[i + 1] = (IntPart)_mm_unpackhi_epi16(words, _mm_setzero_si128());
  }
#endif
  return wide;
}

// rounding_bits() of a block's 32 columns: `first` of sixteen, `second` of the others.
struct RandomLanes {
  I16 first, second;
};
INGOT_SIMD RandomLanes random_lanes(std::int64_t block, std::uint64_t row_key) {
  std::uint64_t z = row_key + static_cast<std::uint64_t>(block) * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 32) * 0xD6E8FEB86659FD93u;
  z ^= z >> 32;
  const std::uint32_t mask = static_cast<std::uint32_t>(z & 0xFFFF);
  const std::uint16_t* from = kRoundingTable.numbers + ((z >> 32) * kRoundingPeriod >> 32);
  return {table_lanes(from, mask), table_lanes(from + kLanes, mask)};
}
INGOT_SIMD I16 stochastic_codes(F16 x, F16 inverse, I16 random) {
  return (round_to_int(x * inverse * 65536.0f) + random) >> 16;
}

// Writes 64 codes as bytes.
INGOT_SIMD void store_codes(std::int8_t* to, const I16 codes[4]) {
#if defined(__AVX512F__)
  const __m512i least = _mm512_set1_epi16(-127);
  const auto word = [&](int i) __attribute__((always_inline)) {
    return _mm512_max_epi16(
        _mm512_packs_epi32((__m512i)codes[i].part[0], (__m512i)codes[i + 1].part[0]), least);
  };
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_si512(to, _mm512_permutexvar_epi32(order, _mm512_packs_epi16(word(0), word(2))));
#elif defined(__AVX2__)
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (int i = 0; i < 4; i += 2) {
    const auto word = [&](int j) __attribute__((always_inline)) {
      return _mm256_max_epi16(
          _mm256_packs_epi32((__m256i)codes[j].part[0], (__m256i)codes[j].part[1]),
          _mm256_set1_epi16(-127));
    };
    _mm256_storeu_si256(
        (__m256i_u*)(to + 16 * i),
        _mm256_permutevar8x32_epi32(_mm256_packs_epi16(word(i), word(i + 1)), order));
  }
#else
  for (int i = 0; i < 4; ++i) {
    const auto word = [&](int part) __attribute__((always_inline)) {
      return _mm_max_epi16(
          _mm_packs_epi32((__m128i)codes[i].part[part], (__m128i)codes[i].part[part + 1]),
          _mm_set1_epi16(-127));
    };
    _mm_storeu_si128((__m128i_u*)(to + 16 * i), _mm_packs_epi16(word(0), word(2)));
  }
#endif
}
// Writes the first `count` (0..64) of them.
INGOT_SIMD void store_codes_partial(std::int8_t* to, const I16 codes[4], std::int64_t count) {
  std::int8_t buffer[64];
  store_codes(buffer, codes);
  for (std::int64_t i = 0; i < count; ++i) to[i] = buffer[i];
}

INGOT_SIMD F16 load_codes(const std::int8_t* from) {
  I16 wide;
  const __m128i codes = _mm_loadu_si128((const __m128i_u*)from);
#if defined(__AVX512F__)
  wide.part[0] = (IntPart)_mm512_cvtepi8_epi32(codes);
#elif defined(__AVX2__)
  wide.part[0] = (IntPart)_mm256_cvtepi8_epi32(codes);
  wide.part[1] = (IntPart)_mm256_cvtepi8_epi32(_mm_srli_si128(codes, 8));
#else
  const __m128i low = _mm_unpacklo_epi8(codes, codes), high = _mm_unpackhi_epi8(codes, codes);
  wide.part[0] = (IntPart)_mm_srai_epi32(_mm_unpacklo_epi16(low, low), 24);
  wide.part[1] = (IntPart)_mm_srai_epi32(_mm_unpackhi_epi16(low, low), 24);
  wide.part[2] = (IntPart)_mm_srai_epi32(_mm_unpacklo_epi16(high, high), 24);
  wide.part[3] = (IntPart)_mm_srai_epi32(_mm_unpackhi_epi16(high, high), 24);
#endif
  return to_float(wide);
}
INGOT_SIMD F16 load_codes_partial(const std::int8_t* from, int count) {
  if (count == kLanes) return load_codes(from);
  std::int8_t buffer[kLanes] = {};
  for (int i = 0; i < count; ++i) buffer[i] = from[i];
  return load_codes(buffer);
}

}  // namespace ingot::cpu::INGOT_ISA

#endif  // INGOT_ISA

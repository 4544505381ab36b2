// Products of words of four codes, for kernels compiled by isa_library.
#pragma once

#include "backends/cpu/simd.h"

#ifdef INGOT_ISA

namespace ingot::cpu::INGOT_ISA {

// A: codes + 128, unsigned. B: signed. Sums are exact modulo 2^32, so the corrected total is exact.
#if defined(__AVX512VNNI__)
struct Left {
  __m512i bytes;
};
using Right = Left;
INGOT_SIMD Right right_of(I16 words) { return {(__m512i)words.part[0]}; }
INGOT_SIMD Left left_of(I16 words) { return {(__m512i)words.part[0]}; }
INGOT_SIMD I16 add_products(Left a, Right b, I16 sum) {
  sum.part[0] = (IntPart)_mm512_dpbusd_epi32((__m512i)sum.part[0], a.bytes, b.bytes);
  return sum;
}
#else
// Bytes 0 and 2, and 1 and 3, of each word as pairs of 16 bits: vpmaddubsw would saturate.
struct Left {
  I16 even, odd;
};
using Right = Left;
typedef std::int16_t ShortPart __attribute__((vector_size(4 * kPartLanes)));
typedef std::uint16_t UnsignedShortPart __attribute__((vector_size(4 * kPartLanes)));
INGOT_SIMD Right right_of(I16 words) {
  Right b;
  for (int i = 0; i < kParts; ++i) {
    b.even.part[i] = (IntPart)((ShortPart)((UnsignedShortPart)words.part[i] << 8) >> 8);
    b.odd.part[i] = (IntPart)((ShortPart)words.part[i] >> 8);
  }
  return b;
}
INGOT_SIMD Left left_of(I16 words) {
  Left a;
  for (int i = 0; i < kParts; ++i) {
    a.even.part[i] = words.part[i] & 0x00ff00ff;
    a.odd.part[i] = (IntPart)((UnsignedShortPart)words.part[i] >> 8);
  }
  return a;
}
INGOT_SIMD IntPart multiply_pairs(IntPart a, IntPart b) {
#if defined(__AVX512F__)
  return (IntPart)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (IntPart)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#else
  return (IntPart)_mm_madd_epi16((__m128i)a, (__m128i)b);
#endif
}
INGOT_SIMD I16 add_products(Left a, Right b, I16 sum) {
  for (int i = 0; i < kParts; ++i) {
    const WordPart both = (WordPart)multiply_pairs(a.even.part[i], b.even.part[i]) +
                          (WordPart)multiply_pairs(a.odd.part[i], b.odd.part[i]);
    sum.part[i] = (IntPart)((WordPart)sum.part[i] + both);
  }
  return sum;
}
#endif

// Rows of codes begin at any byte.
typedef std::int32_t WordsAnywhere
    __attribute__((vector_size(4 * kPartLanes), aligned(1), may_alias));

INGOT_SIMD I16 load_words(const std::int8_t* from) {
  I16 words;
  for (int i = 0; i < kParts; ++i) {
    words.part[i] = *(const WordsAnywhere*)(from + i * kPartLanes * 4);
  }
  return words;
}

}  // namespace ingot::cpu::INGOT_ISA

#endif  // INGOT_ISA

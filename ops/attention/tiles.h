// Small matrix products on packed tiles, for the attention kernels compiled by isa_library.
//
// A tile is an array of 32-bit words. Fp32: a word is a float. Bf16Pairs: a word is two bf16 that
// are neighbours along the reduction, which is what vdpbf16ps multiplies.
//   left  operand [rows, depth words]: one row after another
//   right operand [depth words, columns], columns a multiple of 16
//   product [rows, columns] of float
#pragma once

#include "backends/cpu/simd.h"

#ifdef INGOT_ISA

namespace ingot::cpu::INGOT_ISA {

// Written by vectors, read by scalars.
typedef std::int32_t Word __attribute__((may_alias));

INGOT_SIMD F16 load_words(const Word* from) { return load((const float*)from); }
INGOT_SIMD void store_words(Word* to, F16 value) { store((float*)to, value); }

struct Fp32 {
  using Element = float;
  static constexpr int kPerWord = 1;
  INGOT_SIMD F16 multiply_add(F16 a, F16 b, F16 c) { return fma(a, b, c); }
};

#if defined(__AVX512BF16__)
struct Bf16Pairs {
  using Element = BFloat16;
  static constexpr int kPerWord = 2;
  INGOT_SIMD F16 multiply_add(F16 a, F16 b, F16 c) {
    c.part[0] =
        (FloatPart)_mm512_dpbf16_ps((__m512)c.part[0], (__m512bh)a.part[0], (__m512bh)b.part[0]);
    return c;
  }
};
#endif

template <class Format>
INGOT_SIMD std::int64_t words(std::int64_t elements) {
  return (elements + Format::kPerWord - 1) / Format::kPerWord;
}

// Registers: 8 x 2 vectors of sums at AVX-512, 6 x 1 (12 registers) at AVX2, 2 x 1 (8) at SSE2.
inline constexpr int kStripVectors = kParts == 1 ? 2 : 1;
inline constexpr int kStripRows = kParts == 1 ? 8 : kParts == 2 ? 6 : 2;

// What becomes of the product's old values.
enum class Into { zero, add, scaled };

template <class Format, int kRows, int kVectors, Into kInto>
INGOT_SIMD void multiply_block(const Word* left, std::int64_t left_stride, const Word* right,
                               std::int64_t right_stride, float* product,
                               std::int64_t product_stride, std::int64_t depth,
                               const float* scale) {
  F16 sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const float* old = product + i * product_stride + v * kLanes;
      if constexpr (kInto == Into::zero) sum[i][v] = zero();
      if constexpr (kInto == Into::add) sum[i][v] = load(old);
      if constexpr (kInto == Into::scaled) sum[i][v] = load(old) * load(scale + v * kLanes);
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    F16 b[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) b[v] = load_words(right + k * right_stride + v * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const F16 a = bits_to_float(broadcast_int(left[i * left_stride + k]));
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[i][v] = Format::multiply_add(a, b[v], sum[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      store(product + i * product_stride + v * kLanes, sum[i][v]);
    }
  }
}

// All rows of one strip of columns, 1 or kStripVectors vectors wide.
template <class Format, int kVectors, Into kInto>
static void multiply_strip(const Word* left, std::int64_t left_stride, const Word* right,
                           std::int64_t right_stride, float* product, std::int64_t product_stride,
                           std::int64_t rows, std::int64_t depth, const float* scale) {
  std::int64_t i = 0;
  const auto block = [&]<int kRows>() {
    for (; i + kRows <= rows; i += kRows) {
      multiply_block<Format, kRows, kVectors, kInto>(left + i * left_stride, left_stride, right,
                                                     right_stride, product + i * product_stride,
                                                     product_stride, depth, scale);
    }
  };
  block.template operator()<kStripRows>();
  if constexpr (kStripRows > 2) block.template operator()<2>();
  block.template operator()<1>();
}

// The operands of a product of tiles.
struct TileProduct {
  const Word* left;
  std::int64_t left_stride;
  const Word* right;
  std::int64_t right_stride;
  float* product;
  std::int64_t product_stride;
  std::int64_t rows, columns, depth;
};

// visible[v]: how many rows (or steps of depth) the vector v of columns needs; see below.
INGOT_SIMD std::int64_t most_visible(const std::int32_t* visible, std::int64_t column) {
  const std::int32_t first = visible[column / kLanes];
  if constexpr (kStripVectors == 1) return first;
  const std::int32_t second = visible[column / kLanes + 1];
  return first > second ? first : second;
}

template <class Format, Into kInto, class Body>
INGOT_SIMD void for_each_strip(const TileProduct& t, const float* scale, const Body& bounds) {
  std::int64_t column = 0;
  for (; column + kStripVectors * kLanes <= t.columns; column += kStripVectors * kLanes) {
    const auto [rows, depth] = bounds(column);
    multiply_strip<Format, kStripVectors, kInto>(t.left, t.left_stride, t.right + column,
                                                 t.right_stride, t.product + column,
                                                 t.product_stride, rows, depth, scale + column);
  }
  if constexpr (kStripVectors > 1) {
    if (column < t.columns) {
      const auto [rows, depth] = bounds(column);
      multiply_strip<Format, 1, kInto>(t.left, t.left_stride, t.right + column, t.right_stride,
                                       t.product + column, t.product_stride, rows, depth,
                                       scale + column);
    }
  }
}

struct StripBounds {
  std::int64_t rows, depth;
};

// product (+)= left right
template <class Format, Into kInto>
static void multiply(const TileProduct& t) {
  for_each_strip<Format, kInto>(t, nullptr, [&](std::int64_t) {
    return StripBounds{t.rows, t.depth};
  });
}

// product = left right; of each strip of columns only the rows that one of its columns sees. The
// other rows keep whatever they held. visible has an even number of elements.
template <class Format>
static void multiply_visible_rows(const TileProduct& t, const std::int32_t* visible) {
  for_each_strip<Format, Into::zero>(t, nullptr, [&](std::int64_t column) {
    return StripBounds{most_visible(visible, column), t.depth};
  });
}

// product = product * scale[column] + left right, or product += left right: the depth of each strip
// ends with the last element that one of its columns sees. visible: as above.
template <class Format, Into kInto>
static void multiply_visible_depth(const TileProduct& t, const std::int32_t* visible,
                                   const float* scale) {
  for_each_strip<Format, kInto>(t, scale, [&](std::int64_t column) {
    return StripBounds{t.rows, words<Format>(most_visible(visible, column))};
  });
}

// product += left right, where row i of left is zero before element i.
template <class Format>
static void multiply_triangle(const TileProduct& t) {
  for (std::int64_t row = 0; row < t.rows; row += kStripRows) {
    TileProduct part = t;
    const std::int64_t skip = row / Format::kPerWord;
    part.left += row * t.left_stride + skip;
    part.right += skip * t.right_stride;
    part.product += row * t.product_stride;
    part.rows = t.rows - row < kStripRows ? t.rows - row : kStripRows;
    part.depth = t.depth - skip;
    multiply<Format, Into::add>(part);
  }
}

// ---- Packing ------------------------------------------------------------------------------

// Elements [from, to) of a row become zero.
template <class T>
INGOT_SIMD void clear(T* row, std::int64_t from, std::int64_t to) {
  for (; from < to; from += kLanes) store_partial(row + from, zero(), lanes_left(to - from));
}

// Rows of memory as rows of a tile, from element `first` on; the rest of `stride` becomes zero.
// from [rows, columns] of T, from_stride apart; to: rows `stride` words apart.
template <class Format, class T>
static void pack_rows(const T* from, std::int64_t from_stride, std::int64_t rows,
                      std::int64_t columns, Word* to, std::int64_t stride, std::int64_t first) {
  using Element = typename Format::Element;
  const std::int64_t end = stride * Format::kPerWord - first;
  for (std::int64_t row = 0; row < rows; ++row) {
    auto* elements = (Element*)(to + row * stride) + first;
    const T* source = from + row * from_stride;
    std::int64_t c = 0;
#if defined(__AVX512BF16__)
    if constexpr (Format::kPerWord == 2) {
      for (; c + 2 * kLanes <= columns; c += 2 * kLanes) {
        _mm512_storeu_si512(elements + c, _mm512_loadu_si512(source + c));
      }
    }
#endif
    for (; c + kLanes <= columns; c += kLanes) store(elements + c, load(source + c));
    if (c < columns) {
      const int given = lanes_left(columns - c), space = lanes_left(end - c);
      store_partial(elements + c, load_partial(source + c, given), space);
      c += space;
    }
    clear(elements, c, end);
  }
}

#if defined(__AVX512BF16__)
// 32 elements of two rows, side by side.
INGOT_SIMD void interleave(__m512i first, __m512i second, F16& low, F16& high) {
  const __m512i order = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i upper = _mm512_add_epi16(order, _mm512_set1_epi16(16));
  low.part[0] = (FloatPart)_mm512_permutex2var_epi16(first, order, second);
  high.part[0] = (FloatPart)_mm512_permutex2var_epi16(first, upper, second);
}
#endif

// Pairs of rows side by side, so that the reduction runs over rows: [words(rows), columns] words
// from word `first` on. A missing last row and columns up to `stride` are zero. Fp32: a pair is one
// row.
template <class Format, class T>
static void pack_pairs(const T* from, std::int64_t from_stride, std::int64_t rows,
                       std::int64_t columns, Word* to, std::int64_t stride, std::int64_t first) {
  if constexpr (Format::kPerWord == 1) {
    pack_rows<Format>(from, from_stride, rows, columns, to, stride, first);
  } else {
#if defined(__AVX512BF16__)
    for (std::int64_t row = 0; row < rows; row += 2, to += stride) {
      const T* upper = from + row * from_stride;
      const T* lower = upper + from_stride;
      std::int64_t c = 0;
      for (; c + 2 * kLanes <= columns && row + 1 < rows; c += 2 * kLanes) {
        F16 low, high;
        interleave(_mm512_loadu_si512(upper + c), _mm512_loadu_si512(lower + c), low, high);
        store_words(to + first + c, low);
        store_words(to + first + c + kLanes, high);
      }
      for (; c < columns; c += kLanes) {
        const int given = lanes_left(columns - c);
        const I16 low = float_to_bits(load_partial(upper + c, given));
        const I16 high = float_to_bits(load_partial(lower + c, row + 1 < rows ? given : 0));
        store_partial((float*)(to + first + c), bits_to_float(shift_right_logical(low, 16) | high),
                      lanes_left(stride - first - c));
      }
      clear((float*)to, first + c, stride);
    }
#endif
  }
}

template <int... kIndex>
struct Lanes {};
template <int kCount>
using FirstLanes = Lanes<__integer_pack(kCount)...>;

// One step of a transposition: exchanges the blocks of kHalf lanes off the diagonal.
template <int kHalf, int... kIndex>
INGOT_SIMD void exchange(FloatPart& a, FloatPart& b, Lanes<kIndex...>) {
  const FloatPart upper = __builtin_shufflevector(
      a, b, ((kIndex & kHalf) != 0 ? kPartLanes + kIndex - kHalf : kIndex)...);
  b = __builtin_shufflevector(a, b,
                              ((kIndex & kHalf) != 0 ? kPartLanes + kIndex : kIndex + kHalf)...);
  a = upper;
}

template <int kHalf>
INGOT_SIMD void exchange_all(FloatPart* row) {
  if constexpr (kHalf > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < kPartLanes; ++i) {
      if ((i & kHalf) == 0) exchange<kHalf>(row[i], row[i + kHalf], FirstLanes<kPartLanes>{});
    }
    exchange_all<kHalf / 2>(row);
  }
}

// to[c, r] = from[r, c]; rows and columns are multiples of 16.
inline void transpose(const Word* from, std::int64_t from_stride, std::int64_t rows,
                      std::int64_t columns, Word* to, std::int64_t to_stride) {
  for (std::int64_t r = 0; r < rows; r += kPartLanes) {
    for (std::int64_t c = 0; c < columns; c += kPartLanes) {
      FloatPart block[kPartLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kPartLanes; ++i) {
        block[i] = *(const FloatPartAnywhere*)(from + (r + i) * from_stride + c);
      }
      exchange_all<kPartLanes / 2>(block);
#pragma GCC unroll 16
      for (int i = 0; i < kPartLanes; ++i) {
        *(FloatPartAnywhere*)(to + (c + i) * to_stride + r) = block[i];
      }
    }
  }
}

// Lane i of the result is the sum over the lanes of rows[i].
INGOT_SIMD F16 sums_of_rows(const F16 (&rows)[kLanes]) {
  F16 result;
#pragma GCC unroll 4
  for (int group = 0; group < kParts; ++group) {
    FloatPart block[kPartLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kPartLanes; ++i) {
      block[i] = rows[group * kPartLanes + i].part[0];
#pragma GCC unroll 4
      for (int part = 1; part < kParts; ++part) {
        block[i] += rows[group * kPartLanes + i].part[part];
      }
    }
    exchange_all<kPartLanes / 2>(block);
    result.part[group] = block[0];
#pragma GCC unroll 16
    for (int i = 1; i < kPartLanes; ++i) result.part[group] += block[i];
  }
  return result;
}

INGOT_SIMD void fill_zero(Word* to, std::int64_t count) {  // count: a multiple of 16
  for (std::int64_t i = 0; i < count; i += kLanes) store_words(to + i, zero());
}

// ---- Softmax ------------------------------------------------------------------------------

// 2^x for x <= 0 (a little above is fine): relative error 1e-7; 2^-126 below that.
INGOT_SIMD F16 exp2_of_negative(F16 x) {
  x = max(broadcast(-126.0f), x);
  const F16 shifted = x + 0x1.8p23f;  // its lowest bits are x rounded to an integer
  const F16 f = x - (shifted - 0x1.8p23f);
  F16 p = broadcast(1.32764725e-3f);  // minimax in relative error over [-1/2, 1/2]
  p = fma(p, f, broadcast(9.67554096e-3f));
  p = fma(p, f, broadcast(5.55071309e-2f));
  p = fma(p, f, broadcast(2.40221202e-1f));
  p = fma(p, f, broadcast(6.93146944e-1f));
  p = fma(p, f, broadcast(1.00000012f));
  return bits_to_float(float_to_bits(p) + (float_to_bits(shifted) << 23));
}

// Two rows of sixteen numbers as sixteen words of a right operand; Fp32 stores two rows.
template <class Format>
INGOT_SIMD void store_pair(Word* to, std::int64_t stride, F16 first, F16 second) {
  if constexpr (Format::kPerWord == 1) {
    store_words(to, first);
    store_words(to + stride, second);
  } else {
#if defined(__AVX512BF16__)
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second.part[0], first.part[0]);
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, both));
#endif
  }
}

}  // namespace ingot::cpu::INGOT_ISA

#endif  // INGOT_ISA

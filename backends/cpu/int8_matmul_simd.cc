#include "backends/cpu/int8_matmul_simd.h"

#include "backends/cpu/int8_product_lanes.h"
#include "backends/cpu/matmul_output_lanes.h"
#include "backends/cpu/simd.h"
#include "compress/quantizer_lanes.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

// Register tile. With VNNI: 24 accumulators, 4 vectors of B, one of A, the sign bits. Without, each
// vector of B is two (even and odd bytes, widened), and so is A.
#if defined(__AVX512VNNI__)
constexpr int kRows = 6, kVectors = 4;
#elif defined(__AVX512F__)
constexpr int kRows = 6, kVectors = 2;
#elif defined(__AVX2__)
constexpr int kRows = 4, kVectors = 1;
#else
constexpr int kRows = 2, kVectors = 1;
#endif
constexpr int kPanel = kVectors * kLanes;

// ---- Packing ------------------------------------------------------------------------------

constexpr int kAhead = 16;  // rows fetched ahead: the hardware does not guess where the next one is

// Columns that are packed together: a cache line of 16-bit floats, one RandomLanes.
constexpr int kChunk = kRoundingBlock;

// max |x| of each of 32 columns over `rows` rows, as floats of T's type.
template <typename T>
INGOT_SIMD void column_amax(const T* x, std::int64_t stride, std::int64_t rows, T* largest) {
  typedef typename Magnitude<T>::Bits Bits;
  constexpr int kBytes = 4 * kPartLanes, kCount = kBytes / (int)sizeof(T);
  constexpr int kVectorsOfChunk = kChunk / kCount;
  typedef Bits Vector __attribute__((vector_size(kBytes)));
  typedef Bits VectorAnywhere __attribute__((vector_size(kBytes), aligned(2), may_alias));
  Vector most[kVectorsOfChunk] = {};
  for (std::int64_t row = 0; row < rows; ++row) {
    const T* from = x + row * stride;
    __builtin_prefetch(from + kAhead * stride);
    for (int i = 0; i < kVectorsOfChunk; ++i) {
      const Vector magnitude = *(const VectorAnywhere*)(from + i * kCount) & Magnitude<T>::kMask;
      most[i] = most[i] > magnitude ? most[i] : magnitude;
    }
  }
  for (int i = 0; i < kVectorsOfChunk; ++i) *(VectorAnywhere*)(largest + i * kCount) = most[i];
}

// quantizer_scale() in lanes: writes the scales, returns what codes are made with.
INGOT_SIMD F16 scales_of(F16 amax, float* scales) {
  const I16 bad = is_not_finite(amax), usable = amax >= broadcast(127 * 0x1p-126f);
  const F16 scale = select(usable, amax / 127.0f, zero());
  store(scales, select(bad, broadcast(__builtin_nanf("")), scale));
  return select(usable & ~bad, 127.0f / amax, zero());
}

// Clamps codes[row][half] of four rows and joins each column's four into a word.
INGOT_SIMD void store_joined(std::int8_t* to, const I16 codes[4][2]) {
#if defined(__AVX512BW__)
  __m512i rows[4];  // of 16 bits; lane by lane 4 of the first half, 4 of the second
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_max_epi16(
        _mm512_packs_epi32((__m512i)codes[i][0].part[0], (__m512i)codes[i][1].part[0]),
        _mm512_set1_epi16(-127));
  }
  const __m512i order =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
  const __m512i first = _mm512_shuffle_epi8(_mm512_packs_epi16(rows[0], rows[1]), order);
  const __m512i second = _mm512_shuffle_epi8(_mm512_packs_epi16(rows[2], rows[3]), order);
  _mm512_storeu_si512(to, _mm512_unpacklo_epi16(first, second));
  _mm512_storeu_si512(to + 4 * kLanes, _mm512_unpackhi_epi16(first, second));
#else
  const I16 most = broadcast_int(127), least = broadcast_int(-127), byte = broadcast_int(0xff);
  for (int half = 0; half < 2; ++half) {
    I16 word{};
    for (int i = 3; i >= 0; --i) {
      I16 code = codes[i][half];
      code = select(code > most, most, select(code < least, least, code));
      word = (word << 8) | (code & byte);
    }
    store_int((std::int32_t*)(to + half * 4 * kLanes), word);
  }
#endif
}

// Up to 32 columns from `column` on, all of the depth. load_lanes(row, half): sixteen of them.
template <bool stochastic, typename LoadLanes, typename Amax>
INGOT_SIMD void pack_chunk(const Int8Columns& c, std::int64_t column, const LoadLanes& load_lanes,
                           const Amax& amax) {
  const bool both = c.width - column >= kChunk;
  float scales[kChunk];
  std::int8_t words[kChunk * 4];
  float* to_scales = c.scales + column;
  for (std::int64_t first = 0; first < c.depth; first += c.block, to_scales += c.width) {
    const std::int64_t last = c.depth - first < c.block ? c.depth : first + c.block;
    F16 largest[2], inverse[2];
    amax(first, last, largest);
    for (int half = 0; half < 2; ++half) {
      inverse[half] = scales_of(largest[half], scales + half * kLanes);
    }
    __builtin_memcpy(to_scales, scales, both ? sizeof scales : sizeof scales / 2);
    for (std::int64_t row = first; row < last; row += 4) {
      I16 codes[4][2] = {};
      for (int i = 0; i < 4; ++i) {
        if (row + i >= last) break;
        const F16 x[2] = {load_lanes(row + i, 0), load_lanes(row + i, 1)};
        if constexpr (stochastic) {
          const RandomLanes random = random_lanes((c.first_column + column) / kChunk,
                                                  row_key_of(c.key, c.first_row + row + i));
          codes[i][0] = stochastic_codes(x[0], inverse[0], random.first);
          codes[i][1] = stochastic_codes(x[1], inverse[1], random.second);
        } else {
          for (int half = 0; half < 2; ++half)
            codes[i][half] = nearest_codes(x[half], inverse[half]);
        }
      }
      std::int8_t* to = c.panel + (row / 4 * c.width + column) * 4;
      if (both) {
        store_joined(to, codes);
      } else {
        store_joined(words, codes);
        __builtin_memcpy(to, words, sizeof words / 2);
      }
    }
  }
}

template <typename T, bool stochastic>
void pack_columns_as(const Int8Columns& c) {
  for (std::int64_t column = 0; column < c.width; column += kChunk) {
    const T* x = static_cast<const T*>(c.source) + column;
    const std::int64_t there = c.columns - column;
    if (there >= kChunk) {
      const auto load_lanes = [&](std::int64_t row, int half) __attribute__((always_inline)) {
        return load(x + row * c.stride + half * kLanes);
      };
      const auto amax = [&](std::int64_t first, std::int64_t last, F16 * largest)
          __attribute__((always_inline)) {
        T most[kChunk];
        column_amax(x + first * c.stride, c.stride, last - first, most);
        for (int half = 0; half < 2; ++half) largest[half] = load(most + half * kLanes);
      };
      pack_chunk<stochastic>(c, column, load_lanes, amax);
    } else {
      const int count[2] = {lanes_left(there), there > kLanes ? lanes_left(there - kLanes) : 0};
      const auto load_lanes = [&](std::int64_t row, int half) __attribute__((always_inline)) {
        return load_partial(x + row * c.stride + half * kLanes, count[half]);
      };
      const auto amax = [&](std::int64_t first, std::int64_t last, F16 * largest)
          __attribute__((always_inline)) {
        for (int half = 0; half < 2; ++half) {
          I16 most{};
          for (std::int64_t row = first; row < last; ++row) {
            const I16 bits = float_to_bits(abs(load_lanes(row, half)));
            most = select(bits > most, bits, most);
          }
          largest[half] = bits_to_float(most);
        }
      };
      pack_chunk<stochastic>(c, column, load_lanes, amax);
    }
  }
}

template <typename T>
void pack_columns(const Int8Columns& c) {
  c.stochastic ? pack_columns_as<T, true>(c) : pack_columns_as<T, false>(c);
}

void correct(const std::int8_t* panel, std::int64_t words, std::int64_t block_words,
             std::int64_t width, std::int32_t* corrections) {
  const Left ones = left_of(broadcast_int(0x01010101));
  for (std::int64_t first = 0; first < words; first += block_words, corrections += width) {
    const std::int64_t last = words - first < block_words ? words : first + block_words;
    for (std::int64_t column = 0; column < width; column += kLanes) {
      I16 sum{};
      for (std::int64_t word = first; word < last; ++word) {
        sum = add_products(ones, right_of(load_words(panel + (word * width + column) * 4)), sum);
      }
      store_int(corrections + column, I16{} - (sum << 7));
    }
  }
}

// ---- Register tile ------------------------------------------------------------------------

// One strip of rows times one panel.
struct Strip {
  const std::int8_t* a;
  const float* a_scales;
  const std::int8_t* b;
  const float* b_scales;
  const std::int32_t* b_corrections;
};

template <int rows, int vectors>
void multiply(const Int8Tile& t, Strip strip, float* sums) {
  constexpr int kWidth = vectors * kLanes;
  const I16 to_unsigned = broadcast_int(static_cast<std::int32_t>(0x80808080u));
  const std::int8_t* a = strip.a;
  const std::int8_t* b = strip.b;
  for (std::int64_t block = 0, left = t.words; block < t.blocks; ++block, left -= t.block_words) {
    I16 sum[rows][vectors];
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < vectors; ++j) sum[i][j] = load_int(strip.b_corrections + j * kLanes);
    }
    const std::int64_t words = left < t.block_words ? left : t.block_words;
    for (std::int64_t k = 0; k < words; ++k, a += t.a_word_bytes, b += kWidth * 4) {
      Right right[vectors];
      for (int j = 0; j < vectors; ++j) right[j] = right_of(load_words(b + j * kLanes * 4));
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) {
        std::int32_t word;
        __builtin_memcpy(&word, a + i * t.a_row_bytes, sizeof word);
        const Left left_word = left_of(broadcast_int(word) ^ to_unsigned);
        for (int j = 0; j < vectors; ++j) {
          sum[i][j] = add_products(left_word, right[j], sum[i][j]);
        }
      }
    }
    for (int i = 0; i < rows; ++i) {
      const F16 row_scale = broadcast(strip.a_scales[i * t.a_scale_row + block * t.a_scale_block]);
      for (int j = 0; j < vectors; ++j) {
        float* to = sums + i * kPanel + j * kLanes;
        const F16 scale = load(strip.b_scales + j * kLanes) * row_scale;
        store(to,
              block == 0 ? to_float(sum[i][j]) * scale : fma(to_float(sum[i][j]), scale, load(to)));
      }
    }
    strip.b_scales += kWidth;
    strip.b_corrections += kWidth;
  }
}

using Multiply = void (*)(const Int8Tile& t, Strip strip, float* sums);

template <int vectors>
Multiply multiply_of_rows(std::int64_t rows) {
  switch (rows) {
    case 1:
      return multiply<1, vectors>;
#if defined(__AVX2__)
    case 2:
      return multiply<2, vectors>;
    case 3:
      return multiply<3, vectors>;
#endif
#if defined(__AVX512F__)
    case 4:
      return multiply<4, vectors>;
    case 5:
      return multiply<5, vectors>;
#endif
    default:
      return multiply<kRows, vectors>;
  }
}

Multiply choose(std::int64_t rows, std::int64_t width) {
#if defined(__AVX512VNNI__)
  if (width == 64) return multiply_of_rows<4>(rows);
  if (width == 48) return multiply_of_rows<3>(rows);
#endif
#if defined(__AVX512F__)
  if (width == 32) return multiply_of_rows<2>(rows);
#endif
  (void)width;
  return multiply_of_rows<1>(rows);
}

void tile(const Int8Tile& t) {
  for (std::int64_t column = 0; column < t.columns; column += kPanel) {
    const std::int64_t rest = t.columns - column;
    const std::int64_t columns = rest < kPanel ? rest : kPanel;
    const std::int64_t width = (columns + kLanes - 1) / kLanes * kLanes;
    for (std::int64_t row = 0; row < t.rows; row += kRows) {
      const std::int64_t rows = t.rows - row < kRows ? t.rows - row : kRows;
      const Strip strip = {t.a + row * t.a_row_bytes, t.a_scales + row * t.a_scale_row,
                           t.b + column * t.words * 4, t.b_scales + column * t.blocks,
                           t.b_corrections + column * t.blocks};
      alignas(64) float sums[kRows * kPanel];
      if (t.blocks == 0) {
        for (float& sum : sums) sum = 0;
      }
      choose(rows, width)(t, strip, sums);
      finish(sums, kPanel, rows, columns, part_of(t.output, row, column));
    }
  }
}

}  // namespace

extern const Int8MatmulKernels int8_matmul_kernels = {
    kPanel, kRows, {pack_columns<float>, pack_columns<BFloat16>, pack_columns<Half>}, correct, tile,
};

}  // namespace ingot::cpu::INGOT_ISA

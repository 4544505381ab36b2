#include "backends/cpu/int8_matmul_simd.h"

#include "backends/cpu/int8_product_lanes.h"
#include "backends/cpu/matmul_output_lanes.h"
#include "backends/cpu/quantizer_lanes.h"
#include "backends/cpu/simd.h"

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
static_assert(kCellRows % kRows == 0 && kCellColumns % kPanel == 0);

// ---- Packing ------------------------------------------------------------------------------

constexpr int kAhead = 16;  // rows fetched ahead: the hardware does not guess where the next one is

// Columns that are read together: a cache line of 16-bit floats, one RandomLanes.
constexpr int kChunk = kRoundingBlock;

// Rows [row, row + 4) of 32 columns from `column` on, zeros beyond `last` and the last column.
struct Rows {
  F16 x[4][2];
};
template <typename T, bool scaled>
INGOT_SIMD Rows load_rows(const Int8Columns& c, std::int64_t row, std::int64_t last,
                          std::int64_t column) {
  Rows rows;
  const T* from = static_cast<const T*>(c.source) + row * c.stride + column;
  const std::int64_t there = c.columns - column;
  if (there >= kChunk && last - row >= 4) {
    for (int i = 0; i < 4; ++i) {
      for (int half = 0; half < 2; ++half) {
        rows.x[i][half] = load(from + i * c.stride + half * kLanes);
        if constexpr (scaled) rows.x[i][half] *= broadcast(c.row_scales[row + i]);
      }
    }
    return rows;
  }
  for (int i = 0; i < 4; ++i) {
    for (int half = 0; half < 2; ++half) {
      const std::int64_t count = row + i < last ? there - half * kLanes : 0;
      F16& x = rows.x[i][half];
      x = count > 0 ? load_partial(from + i * c.stride + half * kLanes, lanes_left(count)) : zero();
      if constexpr (scaled) {
        if (count > 0) x *= broadcast(c.row_scales[row + i]);
      }
    }
  }
  return rows;
}

// max |x| of each column over the rows [first, last).
template <typename T, bool scaled>
INGOT_SIMD void column_amax(const Int8Columns& c, std::int64_t first, std::int64_t last,
                            float* largest) {
  std::int32_t bits[kInt8Stripe] = {};  // ordered like the floats, NaN above infinity
  const T* x = static_cast<const T*>(c.source);
  for (std::int64_t row = first; row < last; row += 4) {
    for (std::int64_t column = 0; column < c.columns; column += kChunk) {
      for (int i = 0; i < 4; ++i) __builtin_prefetch(x + (row + i + kAhead) * c.stride + column);
      const Rows rows = load_rows<T, scaled>(c, row, last, column);
      for (int half = 0; half < 2; ++half) {
        I16 most = load_int(bits + column + half * kLanes);
        for (int i = 0; i < 4; ++i) {
          const I16 magnitude = float_to_bits(abs(rows.x[i][half]));
          most = select(magnitude > most, magnitude, most);
        }
        store_int(bits + column + half * kLanes, most);
      }
    }
  }
  __builtin_memcpy(largest, bits, sizeof bits);
}

// quantizer_scale() in lanes: writes the scales, returns what codes are made with.
INGOT_SIMD F16 scales_of(F16 amax, float* scales) {
  const I16 bad = is_not_finite(amax), usable = amax >= broadcast(127 * 0x1p-126f);
  const F16 scale = select(usable, amax / 127.0f, zero());
  store(scales, select(bad, broadcast(__builtin_nanf("")), scale));
  return select(usable & ~bad, 127.0f / amax, zero());
}

// Clamps codes[row][half] of four rows and joins each column's four into a word.
INGOT_SIMD void store_joined(std::int8_t* first, std::int8_t* second, const I16 codes[4][2]) {
#if defined(__AVX512BW__)
  __m512i rows[4];  // of 16 bits; lane by lane 4 of the first half, 4 of the second
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_max_epi16(
        _mm512_packs_epi32((__m512i)codes[i][0].part[0], (__m512i)codes[i][1].part[0]),
        _mm512_set1_epi16(-127));
  }
  const __m512i order =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
  const __m512i low = _mm512_shuffle_epi8(_mm512_packs_epi16(rows[0], rows[1]), order);
  const __m512i high = _mm512_shuffle_epi8(_mm512_packs_epi16(rows[2], rows[3]), order);
  _mm512_storeu_si512(first, _mm512_unpacklo_epi16(low, high));
  _mm512_storeu_si512(second, _mm512_unpackhi_epi16(low, high));
#else
  const I16 most = broadcast_int(127), least = broadcast_int(-127), byte = broadcast_int(0xff);
  for (int half = 0; half < 2; ++half) {
    I16 word{};
    for (int i = 3; i >= 0; --i) {
      I16 code = codes[i][half];
      code = select(code > most, most, select(code < least, least, code));
      word = (word << 8) | (code & byte);
    }
    store_int((std::int32_t*)(half == 0 ? first : second), word);
  }
#endif
}

// Where the codes and scales of sixteen columns go.
struct Place {
  std::int64_t width;  // of their panel
  std::int8_t* codes;
  float* scales;
};
INGOT_SIMD Place place_of(const Int8Columns& c, std::int64_t column) {
  const std::int64_t words = (c.depth + 3) / 4, blocks = (c.depth + c.block - 1) / c.block;
  const std::int64_t first = column / c.panel * c.panel, within = column - first;
  const std::int64_t rest = (c.columns - first + kLanes - 1) / kLanes * kLanes;
  return {rest < c.panel ? rest : c.panel, c.codes + (first * words + within) * 4,
          c.scales + first * blocks + within};
}

template <typename T, bool stochastic, bool scaled>
void pack_columns_as(const Int8Columns& c) {
  constexpr int kPlaces = kInt8Stripe / kLanes;
  // A last half chunk has no other half: that one's go nowhere.
  std::int8_t no_codes[4 * kLanes];
  float no_scales[kLanes];
  Place places[kPlaces];
  for (int i = 0; i < kPlaces; ++i) {
    const bool there = i * kLanes < c.columns;
    places[i] = there ? place_of(c, i * kLanes) : Place{0, no_codes, no_scales};
  }
  for (std::int64_t first = 0, block = 0; first < c.depth; first += c.block, ++block) {
    const std::int64_t last = c.depth - first < c.block ? c.depth : first + c.block;
    float inverse[kInt8Stripe];
    column_amax<T, scaled>(c, first, last, inverse);
    for (int i = 0; i < kPlaces; ++i) {
      float* of_place = inverse + i * kLanes;
      store(of_place, scales_of(load(of_place), places[i].scales + block * places[i].width));
    }
    for (std::int64_t row = first; row < last; row += 4) {
      std::uint64_t row_keys[4];
      if constexpr (stochastic) {
        for (int i = 0; i < 4; ++i) row_keys[i] = row_key_of(c.key, c.first_row + row + i);
      }
      for (std::int64_t column = 0; column < c.columns; column += kChunk) {
        const F16 of_first = load(inverse + column), of_second = load(inverse + column + kLanes);
        const Rows rows = load_rows<T, scaled>(c, row, last, column);
        I16 codes[4][2];
        for (int i = 0; i < 4; ++i) {
          if constexpr (stochastic) {
            const RandomLanes random =
                random_lanes((c.first_column + column) / kChunk, row_keys[i]);
            codes[i][0] = stochastic_codes(rows.x[i][0], of_first, random.first);
            codes[i][1] = stochastic_codes(rows.x[i][1], of_second, random.second);
          } else {
            codes[i][0] = nearest_codes(rows.x[i][0], of_first);
            codes[i][1] = nearest_codes(rows.x[i][1], of_second);
          }
        }
        const Place* to = places + column / kLanes;
        store_joined(to[0].codes + row * to[0].width, to[1].codes + row * to[1].width, codes);
      }
    }
  }
}

template <typename T>
void pack_columns(const Int8Columns& c) {
  if (c.row_scales != nullptr) return pack_columns_as<T, false, true>(c);
  c.stochastic ? pack_columns_as<T, true, false>(c) : pack_columns_as<T, false, false>(c);
}

// Sixteen columns of four rows of codes.
INGOT_SIMD void interleave(const __m128i rows[4], std::int8_t* to) {
  const __m128i first[2] = {_mm_unpacklo_epi8(rows[0], rows[1]),
                            _mm_unpackhi_epi8(rows[0], rows[1])};
  const __m128i second[2] = {_mm_unpacklo_epi8(rows[2], rows[3]),
                             _mm_unpackhi_epi8(rows[2], rows[3])};
  for (int i = 0; i < 2; ++i) {
    _mm_storeu_si128((__m128i_u*)(to + 32 * i), _mm_unpacklo_epi16(first[i], second[i]));
    _mm_storeu_si128((__m128i_u*)(to + 32 * i + 16), _mm_unpackhi_epi16(first[i], second[i]));
  }
}

void pack_codes(const std::int8_t* source, std::int64_t stride, std::int64_t depth,
                std::int64_t columns, std::int8_t* panel) {
  constexpr int kLine = 64;
  for (std::int64_t row = 0; row < depth; row += 4) {
    const int there = depth - row < 4 ? static_cast<int>(depth - row) : 4;
    const std::int8_t* from = source + row * stride;
    for (std::int64_t column = 0; column < columns; column += kLine) {
      for (int i = 0; i < 4; ++i) __builtin_prefetch(from + (i + kAhead) * stride + column);
    }
    for (std::int64_t column = 0; column < columns; column += kLanes, panel += 4 * kLanes) {
      const std::int64_t rest = columns - column;
      __m128i rows[4] = {};
      if (rest >= kLanes && there == 4) {
        for (int i = 0; i < 4; ++i) {
          rows[i] = _mm_loadu_si128((const __m128i_u*)(from + i * stride + column));
        }
      } else {
        for (int i = 0; i < there; ++i) {
          __builtin_memcpy(&rows[i], from + i * stride + column, rest < kLanes ? rest : kLanes);
        }
      }
      interleave(rows, panel);
    }
  }
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
    F16 cell = zero();
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
      const MatmulOutput output = part_of(t.output, row, column);
      finish(sums, kPanel, rows, columns, output);
      if (output.squares != nullptr) {
        add_squares(output, row, column, rows, columns, row + rows == t.rows, cell);
      }
    }
  }
}

}  // namespace

extern const Int8MatmulKernels int8_matmul_kernels = {
    kPanel,     kRows,   {pack_columns<float>, pack_columns<BFloat16>, pack_columns<Half>},
    pack_codes, correct, tile,
};

}  // namespace ingot::cpu::INGOT_ISA

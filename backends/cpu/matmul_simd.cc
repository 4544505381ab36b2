#include "backends/cpu/matmul_simd.h"

#include "backends/cpu/matmul_output_lanes.h"
#include "backends/cpu/matmul_packing_lanes.h"
#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

// Register tile: 24 accumulators, 4 vectors of B and one of A fill the 32 registers of AVX-512;
// 6 rows of A, unpacked, also stay within the 8 ways of an L1 set whatever their stride.
#if defined(__AVX512F__)
constexpr int kRows = 6, kVectors = 4;
#elif defined(__AVX2__)
constexpr int kRows = 6, kVectors = 1;
#else
constexpr int kRows = 2, kVectors = 1;
#endif
constexpr int kPanel = kVectors * kLanes;
static_assert(kCellRows % kRows == 0 && kCellColumns % kPanel == 0);

#if defined(__AVX512BF16__)
constexpr bool kPairs = true;
#else
constexpr bool kPairs = false;
#endif

// ---- Register tile ------------------------------------------------------------------------

template <bool pairs>
INGOT_SIMD F16 multiply_add(std::int32_t a, F16 b, F16 sum) {
  if constexpr (pairs) {
#if defined(__AVX512BF16__)
    sum.part[0] =
        _mm512_dpbf16_ps(sum.part[0], (__m512bh)_mm512_set1_epi32(a), (__m512bh)b.part[0]);
#endif
    return sum;
  } else {
    return fma(bits_to_float(broadcast_int(a)), b, sum);
  }
}

INGOT_SIMD std::int32_t load_word(const char* from) {
  std::int32_t word;
  __builtin_memcpy(&word, from, sizeof word);
  return word;
}

// sums [rows][vectors * 16] (+)= A B over `words` words; then, if `half_word`, one bf16 more.
template <int rows, int vectors, bool pairs, bool a_packed>
void multiply(const char* a, std::int64_t a_bytes, const char* b, std::int64_t words,
              bool half_word, float* sums, std::int64_t sums_stride, bool first) {
  F16 sum[rows][vectors];
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < vectors; ++j) {
      sum[i][j] = first ? zero() : load(sums + i * sums_stride + j * kLanes);
    }
  }
  constexpr int kStep = vectors * kLanes * 4;
  const std::int64_t row_bytes = a_packed ? 4 : a_bytes;
  const std::int64_t word_bytes = a_packed ? a_bytes : 4;
  for (std::int64_t k = 0; k < words; ++k, a += word_bytes, b += kStep) {
    F16 column[vectors];
    for (int j = 0; j < vectors; ++j) column[j] = load((const float*)b + j * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const std::int32_t word = load_word(a + i * row_bytes);
      for (int j = 0; j < vectors; ++j) {
        sum[i][j] = multiply_add<pairs>(word, column[j], sum[i][j]);
      }
    }
  }
  if (pairs && half_word) {
    for (int i = 0; i < rows; ++i) {
      std::uint16_t element;
      __builtin_memcpy(&element, a + i * row_bytes, sizeof element);
      for (int j = 0; j < vectors; ++j) {
        sum[i][j] = multiply_add<pairs>(element, load((const float*)b + j * kLanes), sum[i][j]);
      }
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < vectors; ++j) store(sums + i * sums_stride + j * kLanes, sum[i][j]);
  }
}

using Multiply = void (*)(const char* a, std::int64_t a_bytes, const char* b, std::int64_t words,
                          bool half_word, float* sums, std::int64_t sums_stride, bool first);

template <bool pairs, bool a_packed, int vectors>
Multiply multiply_of_rows(std::int64_t rows) {
  switch (rows) {
    case 1:
      return multiply<1, vectors, pairs, a_packed>;
    case 2:
      return multiply<2, vectors, pairs, a_packed>;
#if defined(__AVX2__)
    case 3:
      return multiply<3, vectors, pairs, a_packed>;
    case 4:
      return multiply<4, vectors, pairs, a_packed>;
    case 5:
      return multiply<5, vectors, pairs, a_packed>;
#endif
    default:
      return multiply<kRows, vectors, pairs, a_packed>;
  }
}

template <bool pairs, bool a_packed>
Multiply multiply_of(std::int64_t rows, std::int64_t vectors) {
#if defined(__AVX512F__)
  if (vectors == 4) return multiply_of_rows<pairs, a_packed, 4>(rows);
  if (vectors == 3) return multiply_of_rows<pairs, a_packed, 3>(rows);
  if (vectors == 2) return multiply_of_rows<pairs, a_packed, 2>(rows);
#endif
  (void)vectors;
  return multiply_of_rows<pairs, a_packed, 1>(rows);
}

Multiply choose(bool pairs, bool a_packed, std::int64_t rows, std::int64_t vectors) {
  if (pairs && kPairs) {
    return a_packed ? multiply_of<kPairs, true>(rows, vectors)
                    : multiply_of<kPairs, false>(rows, vectors);
  }
  return a_packed ? multiply_of<false, true>(rows, vectors)
                  : multiply_of<false, false>(rows, vectors);
}

// Panel by panel: a panel is read once from L2 or L3 and then, for each group of rows, from L1 or
// L2; the rows of A stay in L2.
void tile(const MatmulTile& t) {
  // A packed A is padded to whole words.
  const std::int64_t words = t.pairs ? (t.depth + (t.a_packed ? 1 : 0)) / 2 : t.depth;
  const bool half_word = t.pairs && !t.a_packed && t.depth % 2 != 0;
  float local[kRows * kPanel];
  for (std::int64_t column = 0; column < t.columns; column += kPanel) {
    const std::int64_t columns = t.columns - column < kPanel ? t.columns - column : kPanel;
    const std::int64_t vectors = (columns + kLanes - 1) / kLanes;
    const char* panel = static_cast<const char*>(t.b) + column / kPanel * t.panel_bytes +
                        t.first_word * vectors * kLanes * 4;
    F16 cell = zero();
    for (std::int64_t row = 0; row < t.rows; row += kRows) {
      const std::int64_t rows = t.rows - row < kRows ? t.rows - row : kRows;
      float* sums = t.sums != nullptr ? t.sums + row * t.sums_stride + column : local;
      const std::int64_t stride = t.sums != nullptr ? t.sums_stride : kPanel;
      const MatmulOutput output = part_of(t.output, row, column);
      if (t.last) prefetch(output, rows, columns);
      choose(t.pairs, t.a_packed, rows, vectors)(
          static_cast<const char*>(t.a) + row * t.a_row_bytes,
          t.a_packed ? t.a_word_bytes : t.a_row_bytes, panel, words, half_word, sums, stride,
          t.first);
      if (!t.last) continue;
      finish(sums, stride, rows, columns, output);
      if (output.squares != nullptr) {
        add_squares(output, row, column, rows, columns, row + rows == t.rows, cell);
      }
    }
  }
}

// ---- Few rows -----------------------------------------------------------------------------

constexpr int kThinGroup = 4;  // rows that share a read of B

INGOT_SIMD float widened(float value) { return value; }
INGOT_SIMD float widened(BFloat16 value) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(value.bits) << 16);
}
INGOT_SIMD float widened(Half value) {
#if defined(__F16C__)
  return _cvtsh_ss(value.bits);
#endif
  float lanes[kLanes];
  store(lanes, load_partial(&value, 1));
  return lanes[0];
}

// sum += a[k .. k + step) b[k .. k + step), lane by lane, `count` of them there.
template <typename T>
struct Dot {
  static constexpr int kStep = kLanes;
  using Vector = F16;
  INGOT_SIMD Vector get(const T* from, int count) { return load_partial(from, count); }
  INGOT_SIMD F16 add(Vector a, Vector b, F16 sum) { return fma(a, b, sum); }
};
#if defined(__AVX512BF16__)
template <>
struct Dot<BFloat16> {
  static constexpr int kStep = 2 * kLanes;
  using Vector = F16;  // of pairs
  INGOT_SIMD Vector get(const BFloat16* from, int count) {
    return load_pairs((const std::uint16_t*)from, count);
  }
  INGOT_SIMD F16 add(Vector a, Vector b, F16 sum) {
    sum.part[0] = _mm512_dpbf16_ps(sum.part[0], (__m512bh)a.part[0], (__m512bh)b.part[0]);
    return sum;
  }
};
#endif

// What of B is fetched ahead: nothing (it has just been used), or what follows it, into the cache
// of the first or second level.
enum class Ahead { nothing, near, far };

// B stored [columns][depth]: dot products along the depth, `rows` x `columns` of them at once. The
// columns that follow in memory come next. They are fetched meanwhile, in the order they lie there,
// which is what sets off the hardware's own fetching: reading `columns` short rows side by side
// does not (15 instead of 30 GB/s a core).
template <typename T, int rows, int columns, Ahead ahead>
void dots(const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride, std::int64_t depth,
          float* sums) {
  static_assert(rows * columns <= kThinSums);
  using D = Dot<T>;
  F16 sum[kThinSums] = {};
  const T* next = b + columns * b_stride;
  const auto step = [&](std::int64_t k, int count) __attribute__((always_inline)) {
    F16 right[columns];
#pragma GCC unroll 16
    for (int j = 0; j < columns; ++j) {
      right[j] = D::get(b + j * b_stride + k, count);
      const T* later = next + k * columns + j * D::kStep;
      if constexpr (ahead == Ahead::near) __builtin_prefetch(later, 0, 3);
      if constexpr (ahead == Ahead::far) __builtin_prefetch(later, 0, 2);
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const F16 left = D::get(a + i * a_stride + k, count);
#pragma GCC unroll 16
      for (int j = 0; j < columns; ++j) {
        sum[i * columns + j] = D::add(left, right[j], sum[i * columns + j]);
      }
    }
  };
  std::int64_t k = 0;
  for (; k + D::kStep <= depth; k += D::kStep) step(k, D::kStep);
  if (k < depth) step(k, static_cast<int>(depth - k));
  float all[kThinSums];
  sums_of_lanes(sum, all);
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < columns; ++j) sums[i * kThinColumns + j] = all[i * columns + j];
  }
}

// Some columns of B with all rows of A, `most` at a time.
template <typename T, int most, int columns>
void dots_of_columns(const MatmulThin& t, std::int64_t column, float* sums) {
  const T* b = static_cast<const T*>(t.b) + column * t.b_stride;
  const auto multiply = [&]<int rows>(std::int64_t row) {
    const T* a = static_cast<const T*>(t.a) + row * t.a_stride;
    float* to = sums + row * kThinColumns + column;
    const auto kernel = row > 0         ? dots<T, rows, columns, Ahead::nothing>
                        : t.rows > most ? dots<T, rows, columns, Ahead::far>
                                        : dots<T, rows, columns, Ahead::near>;
    kernel(a, t.a_stride, b, t.b_stride, t.depth, to);
  };
  std::int64_t row = 0;
  for (; row + most <= t.rows; row += most) multiply.template operator()<most>(row);
  if constexpr (most > 4) {
    for (; row + 4 <= t.rows; row += 4) multiply.template operator()<4>(row);
  }
  for (; row + 2 <= t.rows; row += 2) multiply.template operator()<2>(row);
  if (row < t.rows) multiply.template operator()<1>(row);
}

// Eight rows of A at a time read B once; but they must stay in the cache of the first level.
constexpr std::int64_t kWideBytes = 12 << 10;

template <typename T>
void thin_transposed(const MatmulThin& t) {
  float sums[kThinRows * kThinColumns];
  std::int64_t column = 0;
  if (kParts == 1 && t.rows >= 8 && 8 * t.depth * (int)sizeof(T) <= kWideBytes) {
    for (; column + 2 <= t.columns; column += 2) dots_of_columns<T, 8, 2>(t, column, sums);
  } else {
    for (; column + 4 <= t.columns; column += 4) dots_of_columns<T, 4, 4>(t, column, sums);
  }
  for (; column < t.columns; ++column) dots_of_columns<T, 4, 1>(t, column, sums);
  finish(sums, kThinColumns, t.rows, t.columns, t.output);
}

// B stored [depth][columns]: each row of B, times an element of A, is added to the sums.
template <typename T, int rows, int vectors>
void axpys(const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride, int last_lanes,
           std::int64_t depth, float* sums) {
  F16 sum[rows][vectors] = {};
  for (std::int64_t k = 0; k < depth; ++k) {
    F16 right[vectors];
    for (int j = 0; j < vectors; ++j) {
      right[j] = load_partial(b + k * b_stride + j * kLanes, j + 1 < vectors ? kLanes : last_lanes);
    }
    for (int i = 0; i < rows; ++i) {
      const F16 left = broadcast(widened(a[i * a_stride + k]));
      for (int j = 0; j < vectors; ++j) sum[i][j] = fma(left, right[j], sum[i][j]);
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < vectors; ++j) store(sums + i * kThinColumns + j * kLanes, sum[i][j]);
  }
}

template <typename T, int vectors>
void axpys_of_rows(std::int64_t rows, const T* a, std::int64_t a_stride, const T* b,
                   std::int64_t b_stride, int last_lanes, std::int64_t depth, float* sums) {
  if (rows == 1) return axpys<T, 1, vectors>(a, a_stride, b, b_stride, last_lanes, depth, sums);
  if (rows == 2) return axpys<T, 2, vectors>(a, a_stride, b, b_stride, last_lanes, depth, sums);
  if (rows == 3) return axpys<T, 3, vectors>(a, a_stride, b, b_stride, last_lanes, depth, sums);
  axpys<T, kThinGroup, vectors>(a, a_stride, b, b_stride, last_lanes, depth, sums);
}

template <typename T>
void thin_plain(const MatmulThin& t) {
  float sums[kThinRows * kThinColumns];
  const T* a = static_cast<const T*>(t.a);
  const T* b = static_cast<const T*>(t.b);
  for (std::int64_t row = 0; row < t.rows; row += kThinGroup) {
    const T* left = a + row * t.a_stride;
    for (std::int64_t column = 0; column < t.columns; column += kPanel) {
      float* to = sums + row * kThinColumns + column;
      const T* right = b + column;
      const std::int64_t rest = t.columns - column;
      const int columns = static_cast<int>(rest < kPanel ? rest : kPanel);
      if (columns > kPanel - kLanes) {
        axpys_of_rows<T, kVectors>(t.rows - row, left, t.a_stride, right, t.b_stride,
                                   columns - (kPanel - kLanes), t.depth, to);
      } else {
        for (int part = 0; part < columns; part += kLanes) {
          axpys_of_rows<T, 1>(t.rows - row, left, t.a_stride, right + part, t.b_stride,
                              lanes_left(columns - part), t.depth, to + part);
        }
      }
    }
  }
  finish(sums, kThinColumns, t.rows, t.columns, t.output);
}

}  // namespace

extern const MatmulKernels matmul_kernels = {
    kPanel,
    kRows,
    kPairs,
    {{pack_plain<float>, pack_transposed<float>},
     {pack_plain<BFloat16>, pack_transposed<BFloat16>},
     {pack_plain<Half>, pack_transposed<Half>}},
#if defined(__AVX512BF16__)
    {pack_pairs_plain, pack_pairs_transposed},
#else
    {nullptr, nullptr},
#endif
    {nullptr, widen<BFloat16>, widen<Half>},
    tile,
    {{thin_plain<float>, thin_transposed<float>},
     {thin_plain<BFloat16>, thin_transposed<BFloat16>},
     {thin_plain<Half>, thin_transposed<Half>}},
};

}  // namespace ingot::cpu::INGOT_ISA

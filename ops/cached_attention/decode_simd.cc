#include "ops/cached_attention/decode_simd.h"

#include "ops/attention/flash_layout.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

constexpr std::int64_t kValueKeys = 32;  // of 128 values in 16 bits: 8 KiB

// How T is multiplied: bf16 in pairs where the CPU can.
template <class T>
struct FormatOf {
  using Type = Fp32;
};
template <>
struct FormatOf<BFloat16> {
  using Type = Bf16Format;
};

// Several rows are read side by side, which doesn't set off the processor's own fetching: they are
// fetched ahead in the order they lie in memory.
template <class T>
INGOT_SIMD void prefetch(const T* rows, std::int64_t stride, std::int64_t count,
                         std::int64_t size) {
  constexpr std::int64_t kLine = 64 / sizeof(T);
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t c = 0; c < size; c += kLine) __builtin_prefetch(rows + i * stride + c);
  }
}

// A vector of words: 16 elements, or 32 where two make a word.
template <class Format, class T>
INGOT_SIMD F16 load_step(const T* from) {
#if defined(__AVX512BF16__)
  if constexpr (Format::kPerWord == 2) return {{(FloatPart)_mm512_loadu_si512(from)}};
#endif
  return load(from);
}

// Scores of one row against 16 keys, of which `count` are there.
template <class T>
F16 score_keys(const Decode<T>& task, const T* query, const T* key, int count) {
  using Format = typename FormatOf<T>::Type;
  constexpr std::int64_t kStep = kLanes * Format::kPerWord;
  F16 sums[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) sums[i] = zero();
  // Missing keys read the last one again: whole blocks need no branches inside.
  const T* rows[kLanes];
  for (int i = 0; i < kLanes; ++i) rows[i] = key + (i < count ? i : count - 1) * task.key_stride;
  std::int64_t c = 0;
  for (; c + kStep <= task.key_size; c += kStep) {
    const F16 q = load_step<Format>(query + c);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      sums[i] = Format::multiply_add(q, load_step<Format>(rows[i] + c), sums[i]);
    }
  }
  for (; c < task.key_size; c += kLanes) {
    const int n = lanes_left(task.key_size - c);
    const F16 q = load_partial(query + c, n);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) sums[i] = fma(q, load_partial(rows[i] + c, n), sums[i]);
  }
  return sums_of_rows(sums);
}

template <class T>
void score(const Decode<T>& task, std::int64_t stride) {
  for (std::int64_t key = 0; key < task.keys; key += kLanes) {
    const int count = lanes_left(task.keys - key);
    const T* rows = task.key + key * task.key_stride;
    prefetch(rows + kLanes * task.key_stride, task.key_stride, lanes_left(task.keys - key - count),
             task.key_size);
    for (int row = 0; row < task.rows; ++row) {
      store(task.scores + row * stride + key, score_keys(task, task.query[row], rows, count));
    }
  }
}

// Scores of one row become weights that sum to one, those of hidden keys zero. Weights are elements
// of Format, from the start of the row on.
template <class Format>
void softmax(float* scores, std::int64_t stride, std::int64_t keys, float scale, float* lse) {
  auto* weights = (typename Format::Element*)scores;
  if (keys <= 0) {
    for (std::int64_t key = 0; key < stride; key += kLanes) store(weights + key, zero());
    *lse = -__builtin_inff();
    return;
  }
  const I16 visible = broadcast_int(static_cast<int>(keys));
  const F16 hidden = broadcast(-__builtin_inff());
  F16 largest = hidden;
  for (std::int64_t key = 0; key < stride; key += kLanes) {
    const I16 seen = lane_numbers() + broadcast_int(static_cast<int>(key)) < visible;
    const F16 value = select(seen, load(scores + key) * scale, hidden);
    store(scores + key, value);
    largest = max(largest, value);
  }
  const float maximum = horizontal_max(largest);
  F16 sums = zero();
  for (std::int64_t key = 0; key < stride; key += kLanes) {
    const F16 weight = exp(load(scores + key) - maximum);
    store(scores + key, weight);
    sums += weight;
  }
  const F16 sum = broadcast(horizontal_sum(sums));
  const F16 inverse = 1.0f / sum;
  // In place: what is stored never lies beyond what was loaded.
  for (std::int64_t key = 0; key < stride; key += kLanes) {
    store(weights + key, load(scores + key) * inverse);
  }
  store_partial(lse, log(sum) + maximum, 1);
}

// Two vectors of columns of the value rows of one word, kWhole or `columns` (fewer) of them.
template <class Format, bool kWhole, class T>
INGOT_SIMD void load_values(const T* first, [[maybe_unused]] const T* second, int columns, F16& low,
                            F16& high) {
  const int in_low = kWhole ? kLanes : lanes_left(columns);
  const int in_high = kWhole ? kLanes : columns - in_low;
  if constexpr (Format::kPerWord == 1) {
    low = load_partial(first, in_low);
    high = load_partial(first + kLanes, in_high);
  } else {
#if defined(__AVX512BF16__)
    const auto mask = static_cast<__mmask32>(kWhole ? ~0u : (1u << columns) - 1);
    interleave(_mm512_maskz_loadu_epi16(mask, first), _mm512_maskz_loadu_epi16(mask, second), low,
               high);
#endif
  }
}

// Adds to two vectors of columns of kRows outputs, from row `row` on, the values of the keys
// [first, last) times their weights.
template <int kRows, bool kWhole, class T>
void weigh_block(const Decode<T>& task, int row, std::int64_t column, std::int64_t first,
                 std::int64_t last, std::int64_t stride) {
  using Format = typename FormatOf<T>::Type;
  const int columns = kWhole ? 2 * kLanes : static_cast<int>(task.value_size - column);
  const int in_low = kWhole ? kLanes : lanes_left(columns);
  F16 sums[kRows][2];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
    sums[i][0] = load_partial(task.output[row + i] + column, in_low);
    sums[i][1] = load_partial(task.output[row + i] + column + kLanes, columns - in_low);
  }
  for (std::int64_t key = first; key < last; key += Format::kPerWord) {
    const T* value = task.value + key * task.value_stride + column;
    // The weight of a key that is not there is zero.
    const T* next = key + 1 < last ? value + task.value_stride : value;
    F16 low, high;
    load_values<Format, kWhole>(value, next, columns, low, high);
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      const auto* weights = (const Word*)(task.scores + (row + i) * stride);
      const F16 weight = bits_to_float(broadcast_int(weights[key / Format::kPerWord]));
      sums[i][0] = Format::multiply_add(weight, low, sums[i][0]);
      sums[i][1] = Format::multiply_add(weight, high, sums[i][1]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
    store_partial(task.output[row + i] + column, sums[i][0], in_low);
    store_partial(task.output[row + i] + column + kLanes, sums[i][1], columns - in_low);
  }
}

template <int kRows, class T>
int weigh_rows(const Decode<T>& task, int row, std::int64_t first, std::int64_t last,
               std::int64_t stride) {
  for (; row + kRows <= task.rows; row += kRows) {
    std::int64_t column = 0;
    for (; column + 2 * kLanes <= task.value_size; column += 2 * kLanes) {
      weigh_block<kRows, true>(task, row, column, first, last, stride);
    }
    if (column < task.value_size) {
      weigh_block<kRows, false>(task, row, column, first, last, stride);
    }
  }
  return row;
}

template <class T>
void decode(const Decode<T>& task) {
  using Format = typename FormatOf<T>::Type;
  const std::int64_t stride = padded(task.keys);
  score(task, stride);
  for (int row = 0; row < task.rows; ++row) {
    softmax<Format>(task.scores + row * stride, stride, task.visible[row], task.scale,
                    task.lse[row]);
    clear(task.output[row], 0, task.value_size);
  }
  for (std::int64_t key = 0; key < task.keys; key += kValueKeys) {
    const std::int64_t last = smaller(task.keys, key + kValueKeys);
    prefetch(task.value + last * task.value_stride, task.value_stride,
             smaller(kValueKeys, task.keys - last), task.value_size);
    int row = weigh_rows<4>(task, 0, key, last, stride);
    row = weigh_rows<2>(task, row, key, last, stride);
    weigh_rows<1>(task, row, key, last, stride);
  }
}

template <class T>
void combine(float* parts, std::int64_t part_stride, const float* lse, std::int64_t lse_stride,
             std::int64_t part_count, std::int64_t count, T* to) {
  float largest = lse[0];
  for (std::int64_t i = 1; i < part_count; ++i) {
    const float value = lse[i * lse_stride];
    if (!(value <= largest)) largest = value;  // NaN wins
  }
  float weights[kCombineParts];
  F16 sum = zero();
  for (std::int64_t i = 0; i < part_count; ++i) {
    const F16 weight = exp(broadcast(lse[i * lse_stride] - largest));
    sum += weight;
    store_partial(weights + i, weight, 1);
  }
  const F16 inverse = 1.0f / sum;
  for (std::int64_t c = 0; c < count; c += kLanes) {
    const int n = lanes_left(count - c);
    F16 value = zero();
    for (std::int64_t i = 0; i < part_count; ++i) {
      value = fma(broadcast(weights[i]), load_partial(parts + i * part_stride + c, n), value);
    }
    value *= inverse;
    if (to != nullptr) {
      store_partial(to + c, value, n);
    } else {
      store_partial(parts + c, value, n);
    }
  }
}

template <class T>
constexpr DecodeFunctions<T> kFunctions = {decode<T>, combine<T>};

}  // namespace

const DecodeTable decode_kernels = {kFunctions<float>, kFunctions<BFloat16>, kFunctions<Half>};

}  // namespace ingot::cpu::INGOT_ISA

#include "ops/cached_attention/decode_simd.h"

#include "ops/attention/tiles.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

constexpr std::int64_t kValueKeys = 64;  // of 128 values in 16 bits: 16 KiB, half of a first cache
constexpr int kValueVectors = 8;         // sums kept in registers

// Scores of one row against 16 keys, of which `count` are there.
template <class T>
F16 score_keys(const Decode<T>& task, const T* query, const T* key, int count) {
  F16 sums[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) sums[i] = zero();
  // Missing keys read the last one again: whole blocks need no branches inside.
  const T* rows[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    rows[i] = key + (i < count ? i : count - 1) * task.key_stride;
  }
  std::int64_t c = 0;
  for (; c + kLanes <= task.key_size; c += kLanes) {
    const F16 q = load(query + c);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) sums[i] = fma(q, load(rows[i] + c), sums[i]);
  }
  if (c < task.key_size) {
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
    for (int row = 0; row < task.rows; ++row) {
      store(task.scores + row * stride + key,
            score_keys(task, task.query[row], task.key + key * task.key_stride, count));
    }
  }
}

// Scores of one row become weights that sum to one; hidden ones become zero.
template <class T>
void softmax(const Decode<T>& task, int row, float* scores, std::int64_t stride) {
  const I16 visible = broadcast_int(static_cast<int>(task.visible[row]));
  if (task.visible[row] <= 0) {
    for (std::int64_t key = 0; key < stride; key += kLanes) store(scores + key, zero());
    *task.lse[row] = -__builtin_inff();
    return;
  }
  F16 largest = broadcast(-__builtin_inff());
  for (std::int64_t key = 0; key < stride; key += kLanes) {
    const I16 seen = lane_numbers() + broadcast_int(static_cast<int>(key)) < visible;
    const F16 value = load(scores + key) * task.scale;
    store(scores + key, select(seen, value, broadcast(-__builtin_inff())));
    largest = max(largest, load(scores + key));
  }
  const float maximum = horizontal_max(largest);
  F16 sums = zero();
  for (std::int64_t key = 0; key < stride; key += kLanes) {
    const I16 seen = lane_numbers() + broadcast_int(static_cast<int>(key)) < visible;
    const F16 weight = select(seen, exp(load(scores + key) - maximum), zero());
    store(scores + key, weight);
    sums += weight;
  }
  const float sum = horizontal_sum(sums);
  for (std::int64_t key = 0; key < stride; key += kLanes) {
    store(scores + key, load(scores + key) * (1.0f / sum));
  }
  float log_sum[kLanes];
  store(log_sum, log(broadcast(sum)));
  *task.lse[row] = maximum + log_sum[0];
}

// output += weights [keys] times values [keys, vectors of columns].
template <int kVectors, class T>
INGOT_SIMD void add_values(const float* weights, const T* value, std::int64_t stride,
                           std::int64_t keys, float* output) {
  F16 sums[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) sums[v] = load(output + v * kLanes);
  for (std::int64_t key = 0; key < keys; ++key) {
    const F16 weight = broadcast(weights[key]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[v] = fma(weight, load(value + key * stride + v * kLanes), sums[v]);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) store(output + v * kLanes, sums[v]);
}

template <class T>
void weigh_values(const Decode<T>& task, int row, std::int64_t first, std::int64_t keys,
                  const float* weights) {
  const T* value = task.value + first * task.value_stride;
  float* output = task.output[row];
  std::int64_t c = 0;
  for (; c + kValueVectors * kLanes <= task.value_size; c += kValueVectors * kLanes) {
    add_values<kValueVectors>(weights, value + c, task.value_stride, keys, output + c);
  }
  for (; c + kLanes <= task.value_size; c += kLanes) {
    add_values<1>(weights, value + c, task.value_stride, keys, output + c);
  }
  if (c == task.value_size) return;
  const int n = lanes_left(task.value_size - c);
  F16 sum = load_partial(output + c, n);
  for (std::int64_t key = 0; key < keys; ++key) {
    sum = fma(broadcast(weights[key]), load_partial(value + key * task.value_stride + c, n), sum);
  }
  store_partial(output + c, sum, n);
}

template <class T>
void decode(const Decode<T>& task) {
  const std::int64_t stride = (task.keys + kLanes - 1) / kLanes * kLanes;
  score(task, stride);
  for (int row = 0; row < task.rows; ++row) {
    softmax(task, row, task.scores + row * stride, stride);
    for (std::int64_t c = 0; c < task.value_size; c += kLanes) {
      store_partial(task.output[row] + c, zero(), lanes_left(task.value_size - c));
    }
  }
  for (std::int64_t key = 0; key < task.keys; key += kValueKeys) {
    const std::int64_t count = task.keys - key < kValueKeys ? task.keys - key : kValueKeys;
    for (int row = 0; row < task.rows; ++row) {
      weigh_values(task, row, key, count, task.scores + row * stride + key);
    }
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

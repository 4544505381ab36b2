#include "ops/dispatch/dispatch_simd.h"

#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

template <typename T>
void add(const void* x, void* y, std::int64_t count) {
  const T* from = static_cast<const T*>(x);
  T* to = static_cast<T*>(y);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int n = lanes_left(count - i);
    store_partial(to + i, load_partial(to + i, n) + load_partial(from + i, n), n);
  }
}

// Sums the columns [i, i + lanes of the accumulators) of one token; n lanes of the last one.
template <typename T, int kVectors>
INGOT_SIMD void sum_columns(const SumRows& task, std::int64_t token, std::int64_t i, int n) {
  F16 sum[kVectors];
  const T* base = static_cast<const T*>(task.base) + token * task.base_stride + i;
  for (int v = 0; v < kVectors; ++v) {
    sum[v] = task.base == nullptr ? zero() : load_partial(base + v * kLanes, n);
  }
  const std::int32_t* row_of = task.row_of + token * task.slots;
  // The next token's rows are asked for: they lie anywhere.
  const std::int64_t next = token + 1 < task.tokens ? task.slots : 0;
  for (std::int64_t slot = 0; slot < task.slots; ++slot) {
    const T* all = static_cast<const T*>(task.rows) + i;
    const std::int64_t row_ahead = row_of[next + slot] < 0 ? 0 : row_of[next + slot];
    const T* later = all + row_ahead * task.rows_stride;
    for (int v = 0; v < kVectors; ++v) __builtin_prefetch(later + v * kLanes);
    if (row_of[slot] < 0) continue;
    const T* row = all + row_of[slot] * task.rows_stride;
    for (int v = 0; v < kVectors; ++v) sum[v] += load_partial(row + v * kLanes, n);
  }
  T* y = static_cast<T*>(task.y) + token * task.y_stride + i;
  for (int v = 0; v < kVectors; ++v) store_partial(y + v * kLanes, sum[v], n);
}

template <typename T>
void sum_rows(const SumRows& task) {
  constexpr int kVectors = 4;
  for (std::int64_t token = 0; token < task.tokens; ++token) {
    std::int64_t i = 0;
    for (; i + kVectors * kLanes <= task.columns; i += kVectors * kLanes) {
      sum_columns<T, kVectors>(task, token, i, kLanes);
    }
    for (; i < task.columns; i += kLanes) {
      sum_columns<T, 1>(task, token, i, lanes_left(task.columns - i));
    }
  }
}

}  // namespace

const DispatchKernels dispatch_kernels = {
    .add = {add<float>, add<BFloat16>, add<Half>},
    .sum_rows = {sum_rows<float>, sum_rows<BFloat16>, sum_rows<Half>},
};

}  // namespace ingot::cpu::INGOT_ISA

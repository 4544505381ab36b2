#include "ops/swiglu/swiglu_simd.h"

#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

// The lines of a later row: rows are too short for the hardware to guess where the next one is.
template <typename T>
INGOT_SIMD void prefetch_row(const T* at, std::int64_t stride) {
  constexpr int kRows = 2;
  __builtin_prefetch(at + kRows * stride);
}

template <typename T>
void forward(const SwigluRows& task) {
  for (std::int64_t row = 0; row < task.rows; ++row) {
    const T* gate = static_cast<const T*>(task.gate_up) + row * task.gate_up_stride;
    const T* up = gate + task.width;
    T* h = static_cast<T*>(task.h) + row * task.h_stride;
    const F16 weight = broadcast(task.weight == nullptr ? 1.0f : task.weight[row]);
    for (std::int64_t i = 0; i < task.width; i += kLanes) {
      const int n = lanes_left(task.width - i);
      const F16 g = load_partial(gate + i, n), u = load_partial(up + i, n);
      prefetch_row(gate + i, task.gate_up_stride);
      prefetch_row(up + i, task.gate_up_stride);
      store_partial(h + i, g * sigmoid(g) * u * weight, n);
    }
  }
}

template <typename T>
INGOT_SIMD void put(T* to, F16 value, bool accumulate, int n) {
  store_partial(to, accumulate ? load_partial(to, n) + value : value, n);
}

// silu'(g) = s (1 + g (1 - s)), s = sigmoid(g)
template <typename T, bool kWeightGradient, bool kForwardToo>
void backward_rows(const SwigluRows& task) {
  for (std::int64_t row = 0; row < task.rows; ++row) {
    const T* gate = static_cast<const T*>(task.gate_up) + row * task.gate_up_stride;
    const T* up = gate + task.width;
    const T* dh = static_cast<const T*>(task.dh) + row * task.dh_stride;
    T* h = kForwardToo ? static_cast<T*>(task.h) + row * task.h_stride : nullptr;
    T* d_gate = static_cast<T*>(task.d_gate_up) + row * task.d_gate_up_stride;
    T* d_up = d_gate + task.width;
    const F16 weight = broadcast(task.weight == nullptr ? 1.0f : task.weight[row]);
    F16 d_weight = zero();
    for (std::int64_t i = 0; i < task.width; i += kLanes) {
      const int n = lanes_left(task.width - i);
      const F16 g = load_partial(gate + i, n), u = load_partial(up + i, n);
      const F16 d = load_partial(dh + i, n);
      prefetch_row(gate + i, task.gate_up_stride);
      prefetch_row(up + i, task.gate_up_stride);
      prefetch_row(dh + i, task.dh_stride);
      const F16 s = sigmoid(g), silu = g * s;
      if constexpr (kForwardToo) store_partial(h + i, silu * u * weight, n);
      if constexpr (kWeightGradient) d_weight = fma(d, silu * u, d_weight);
      const F16 dw = d * weight;
      put(d_gate + i, dw * u * fma(silu, 1.0f - s, s), task.accumulate, n);
      put(d_up + i, dw * silu, task.accumulate, n);
    }
    if constexpr (kWeightGradient) {
      const float before = task.accumulate_weight ? task.d_weight[row] : 0.0f;
      task.d_weight[row] = before + horizontal_sum(d_weight);
    }
  }
}

template <typename T, bool kForwardToo>
void backward_either(const SwigluRows& task) {
  if (task.d_weight != nullptr) {
    backward_rows<T, true, kForwardToo>(task);
  } else {
    backward_rows<T, false, kForwardToo>(task);
  }
}

template <typename T>
void backward(const SwigluRows& task) {
  if (task.h != nullptr) {
    backward_either<T, true>(task);
  } else {
    backward_either<T, false>(task);
  }
}

}  // namespace

const SwigluKernels swiglu_kernels = {
    .forward = {forward<float>, forward<BFloat16>, forward<Half>},
    .backward = {backward<float>, backward<BFloat16>, backward<Half>},
};

}  // namespace ingot::cpu::INGOT_ISA

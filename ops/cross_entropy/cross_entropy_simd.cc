#include "ops/cross_entropy/cross_entropy_simd.h"

#include "backends/cpu/simd.h"

namespace ingot::cpu::INGOT_ISA {
namespace {

float row_max(const float* logits, std::int64_t vocabulary) {
  F16 largest = broadcast(logits[0]);
  std::int64_t i = 0;
  for (; i + kLanes <= vocabulary; i += kLanes) largest = max(largest, load(logits + i));
  float most = horizontal_max(largest);
  for (; i < vocabulary; ++i) most = logits[i] > most ? logits[i] : most;
  return most;
}

float sum_of_exp(const float* logits, std::int64_t vocabulary, float most) {
  F16 sums = zero();
  std::int64_t i = 0;
  for (; i + kLanes <= vocabulary; i += kLanes) sums += exp(load(logits + i) - most);
  float sum = horizontal_sum(sums);
  if (i < vocabulary) {
    float tail[kLanes];
    const int n = lanes_left(vocabulary - i);
    store(tail, exp(load_partial(logits + i, n) - most));
    for (int lane = 0; lane < n; ++lane) sum += tail[lane];
  }
  return sum;
}

float log_of(float value) {
  float lanes[kLanes];
  store(lanes, log(broadcast(value)));
  return lanes[0];
}

float loss(const float* logits, std::int64_t vocabulary, std::int32_t target) {
  const float most = row_max(logits, vocabulary);
  return log_of(sum_of_exp(logits, vocabulary, most)) - (logits[target] - most);
}

template <class T>
float gradient(void* d_logits_, const float* logits, std::int64_t vocabulary, std::int32_t target,
               float factor) {
  T* d_logits = static_cast<T*>(d_logits_);
  const float most = row_max(logits, vocabulary);
  const float sum = sum_of_exp(logits, vocabulary, most);
  const float target_logit = logits[target] - most;
  const float share = factor / sum;
  // The target's own element before the logits may be overwritten.
  float lanes[kLanes];
  store(lanes, exp(broadcast(target_logit)));
  const float own = lanes[0] * share - factor;
  for (std::int64_t i = 0; i < vocabulary; i += kLanes) {
    const int n = lanes_left(vocabulary - i);
    store_partial(d_logits + i, exp(load_partial(logits + i, n) - most) * share, n);
  }
  store_partial(d_logits + target, broadcast(own), 1);
  return log_of(sum) - target_logit;
}

}  // namespace

extern const CrossEntropyKernels cross_entropy_kernels = {
    loss, {gradient<float>, gradient<BFloat16>, gradient<Half>}};

}  // namespace ingot::cpu::INGOT_ISA

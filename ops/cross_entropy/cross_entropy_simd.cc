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

// use(i, n, e): e = exp(logits[i .. i + n) - most).
template <class Use>
INGOT_SIMD float sum_of_exp(const float* logits, std::int64_t vocabulary, float most,
                            const Use& use) {
  F16 sums = zero();
  std::int64_t i = 0;
  for (; i + kLanes <= vocabulary; i += kLanes) {
    const F16 e = exp(load(logits + i) - most);
    use(i, kLanes, e);
    sums += e;
  }
  float sum = horizontal_sum(sums);
  if (i < vocabulary) {
    float tail[kLanes];
    const int n = lanes_left(vocabulary - i);
    const F16 e = exp(load_partial(logits + i, n) - most);
    use(i, n, e);
    store(tail, e);
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
  const float sum = sum_of_exp(logits, vocabulary, most, [](std::int64_t, int, F16) {});
  return log_of(sum) - (logits[target] - most);
}

template <class T>
float gradient(float* logits, std::int64_t vocabulary, std::int32_t target, float factor) {
  const float most = row_max(logits, vocabulary);
  const float target_logit = logits[target] - most;
  const auto keep = [=](std::int64_t i, int n, F16 e) __attribute__((always_inline)) {
    store_partial(logits + i, e, n);
  };
  const float sum = sum_of_exp(logits, vocabulary, most, keep);
  const float share = factor / sum;
  const float own = logits[target] * share - factor;
  // Narrower gradients fall behind the logits that are still to be read.
  T* d_logits = (T*)logits;
  std::int64_t i = 0;
  for (; i + kLanes <= vocabulary; i += kLanes) store(d_logits + i, load(logits + i) * share);
  if (i < vocabulary) {
    const int n = lanes_left(vocabulary - i);
    store_partial(d_logits + i, load_partial(logits + i, n) * share, n);
  }
  store_partial(d_logits + target, broadcast(own), 1);
  return log_of(sum) - target_logit;
}

}  // namespace

extern const CrossEntropyKernels cross_entropy_kernels = {
    loss, {gradient<float>, gradient<BFloat16>, gradient<Half>}};

}  // namespace ingot::cpu::INGOT_ISA

#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/random.h"

namespace ingot {

Sampler::Sampler(SamplingOptions options, std::int64_t vocabulary)
    : options_(options), order_(vocabulary), weights_(vocabulary) {}

std::int32_t Sampler::pick(std::span<const float> logits, std::uint64_t draw, std::uint64_t text) {
  if (options_.temperature <= 0 || options_.top_k == 1) {
    return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) -
                                     logits.begin());
  }
  std::iota(order_.begin(), order_.end(), 0);
  std::stable_sort(order_.begin(), order_.end(),
                   [&](std::int32_t a, std::int32_t b) { return logits[a] > logits[b]; });
  std::size_t kept = order_.size();
  if (options_.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(options_.top_k));
  double total = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    weights_[i] = std::exp((logits[order_[i]] - logits[order_[0]]) / options_.temperature);
    total += weights_[i];
  }
  double sum = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    sum += weights_[i];
    if (sum >= options_.top_p * total) {
      kept = i + 1;
      break;
    }
  }
  const double target = random_uniform(options_.seed, draw, text) * sum;
  double passed = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    passed += weights_[i];
    if (target < passed) return order_[i];
  }
  return order_[kept - 1];
}

}  // namespace ingot

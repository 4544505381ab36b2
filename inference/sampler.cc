#include "inference/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/numbers/random.h"

namespace ingot {
namespace {

constexpr std::size_t kFirstOrdered = 64;

}  // namespace

Sampler::Sampler(SamplingOptions options, std::int64_t vocabulary)
    : options_(options), order_(vocabulary), weights_(vocabulary) {}

std::int32_t Sampler::pick(std::span<const float> logits, std::uint64_t draw, std::uint64_t text) {
  if (options_.temperature <= 0 || options_.top_k == 1) {
    return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) -
                                     logits.begin());
  }
  std::iota(order_.begin(), order_.end(), 0);
  ordered_ = 0;
  const std::size_t most = options_.top_k > 0
                               ? std::min(order_.size(), static_cast<std::size_t>(options_.top_k))
                               : order_.size();
  if (most < order_.size()) order_more(logits, most);
  const float highest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (std::size_t i = 0; i < most; ++i) {
    const std::int32_t token = order_[i];
    weights_[token] = std::exp((logits[token] - highest) / options_.temperature);
    total += weights_[token];
  }
  // Few tokens have most of the probability: only they are put in order.
  const auto weight = [&](std::size_t place) {
    while (place >= ordered_) order_more(logits, std::max(kFirstOrdered, 4 * ordered_));
    return weights_[order_[place]];
  };
  double sum = total;
  std::size_t kept = most;
  if (options_.top_p < 1) {
    sum = 0;
    for (kept = 0; kept < most && (kept == 0 || sum < options_.top_p * total); ++kept) {
      sum += weight(kept);
    }
  }
  const double target = random_uniform(options_.seed, draw, text) * sum;
  double passed = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    passed += weight(i);
    if (target < passed) return order_[i];
  }
  return order_[kept - 1];
}

// Puts the first `count` places in order.
void Sampler::order_more(std::span<const float> logits, std::size_t count) {
  const auto likelier = [&](std::int32_t a, std::int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  };
  const auto first = order_.begin() + static_cast<std::ptrdiff_t>(ordered_);
  ordered_ = std::min(count, order_.size());
  const auto last = order_.begin() + static_cast<std::ptrdiff_t>(ordered_);
  if (last != order_.end()) std::nth_element(first, last, order_.end(), likelier);
  std::sort(first, last, likelier);
}

}  // namespace ingot

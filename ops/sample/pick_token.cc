#include "ops/sample/pick_token.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/numbers/random.h"

namespace ingot {
namespace {

// Few tokens have most of the probability: only they are put in order.
constexpr std::size_t kFirstOrdered = 64;

float number(float logit) {
  return std::isnan(logit) ? -std::numeric_limits<float>::infinity() : logit;
}

class Pick {
 public:
  Pick(std::span<const float> logits, const SampleRow& row, std::span<std::int32_t> order,
       std::span<double> weights)
      : logits_(logits), row_(row), order_(order), weights_(weights) {}

  std::int32_t token() {
    const std::int32_t likeliest = this->likeliest();
    if (row_.temperature <= 0 || row_.top_k == 1) return likeliest;
    const float highest = number(logits_[likeliest]);
    if (std::isinf(highest)) return likeliest;  // nothing is possible, or one token alone
    std::iota(order_.begin(), order_.end(), 0);
    const std::size_t most = row_.top_k > 0
                                 ? std::min(order_.size(), static_cast<std::size_t>(row_.top_k))
                                 : order_.size();
    if (most < order_.size()) order_more(most);
    double total = 0;
    for (std::size_t i = 0; i < most; ++i) {
      const std::int32_t token = order_[i];
      weights_[token] = std::exp((number(logits_[token]) - highest) / row_.temperature);
      total += weights_[token];
    }
    double sum = total;
    const std::size_t kept = keep(most, sum);
    const double target = random_uniform(row_.seed, row_.draw, row_.text) * sum;
    double passed = 0;
    for (std::size_t i = 0; i < kept; ++i) {
      passed += weight(i);
      if (target < passed) return order_[i];
    }
    return order_[kept - 1];
  }

  float log_probability(std::int32_t token) const {
    const double highest = number(logits_[likeliest()]);
    double sum = 0;
    for (const float logit : logits_) sum += std::exp(number(logit) - highest);
    return static_cast<float>(number(logits_[token]) - highest - std::log(sum));
  }

 private:
  std::int32_t likeliest() const {
    const auto less = [](float a, float b) { return number(a) < number(b); };
    return static_cast<std::int32_t>(std::max_element(logits_.begin(), logits_.end(), less) -
                                     logits_.begin());
  }

  // How many of the first `most` places may be picked; sum becomes that of their weights.
  std::size_t keep(std::size_t most, double& sum) {
    if (row_.top_p >= 1 && row_.min_p <= 0) return most;
    const double enough = row_.top_p < 1 ? row_.top_p * sum : HUGE_VAL;
    sum = 0;
    std::size_t kept = 0;
    while (kept < most && (kept == 0 || (sum < enough && weight(kept) >= row_.min_p))) {
      sum += weight(kept++);
    }
    return kept;
  }

  double weight(std::size_t place) {
    while (place >= ordered_) order_more(std::max(kFirstOrdered, 4 * ordered_));
    return weights_[order_[place]];
  }

  // Puts the first `count` places in order, the likeliest first.
  void order_more(std::size_t count) {
    const auto likelier = [&](std::int32_t a, std::int32_t b) {
      const float left = number(logits_[a]), right = number(logits_[b]);
      return left > right || (left == right && a < b);
    };
    const auto first = order_.begin() + static_cast<std::ptrdiff_t>(ordered_);
    ordered_ = std::min(count, order_.size());
    const auto last = order_.begin() + static_cast<std::ptrdiff_t>(ordered_);
    if (last != order_.end()) std::nth_element(first, last, order_.end(), likelier);
    std::sort(first, last, likelier);
  }

  std::span<const float> logits_;
  const SampleRow& row_;
  std::span<std::int32_t> order_;  // tokens, in order as far as `ordered_`
  std::size_t ordered_ = 0;
  std::span<double> weights_;  // of tokens, relative to the likeliest's
};

}  // namespace

Picked pick_token(std::span<const float> logits, const SampleRow& row,
                  std::span<std::int32_t> order, std::span<double> weights) {
  Pick pick(logits, row, order, weights);
  Picked picked{.token = pick.token()};
  if (row.wants_probability != 0) picked.log_probability = pick.log_probability(picked.token);
  return picked;
}

}  // namespace ingot

#include "inference/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "engine/numbers/random.h"

namespace ingot {
namespace {

const std::vector<float> kLogits = {1.0f, 3.0f, 2.0f, 3.0f, -1.0f};

std::map<std::int32_t, int> draws(SamplingOptions options, int count) {
  Sampler sampler(options, static_cast<std::int64_t>(kLogits.size()));
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < count; ++i) ++counts[sampler.pick(kLogits, i)];
  return counts;
}

TEST(Sampler, GreedyTakesTheFirstOfTheLikeliest) {
  EXPECT_EQ(draws({}, 5), (std::map<std::int32_t, int>{{1, 5}}));
}

TEST(Sampler, TopKAndTopPLeaveOutTheUnlikely) {
  const auto two = draws({.temperature = 1, .top_k = 2}, 500);
  EXPECT_EQ(two.size(), 2u);
  EXPECT_TRUE(two.count(1) && two.count(3));
  // The two likeliest have 0.79 of the probability, the third brings it to 0.94.
  EXPECT_EQ(draws({.temperature = 1, .top_p = 0.75}, 500).size(), 2u);
  EXPECT_EQ(draws({.temperature = 1, .top_p = 0.9}, 2000).size(), 3u);
}

TEST(Sampler, DrawsWithTheSoftmaxOfTheTemperature) {
  constexpr int kCount = 20000;
  const auto counts = draws({.temperature = 2, .seed = 5}, kCount);
  double total = 0;
  for (const float logit : kLogits) total += std::exp(logit / 2);
  for (const auto& [token, count] : counts) {
    const double expected = std::exp(kLogits[token] / 2) / total;
    // Four standard errors of a share.
    EXPECT_NEAR(count / static_cast<double>(kCount), expected,
                4 * std::sqrt(expected * (1 - expected) / kCount));
  }
}

TEST(Sampler, IsAFunctionOfSeedAndDraw) {
  const SamplingOptions options{.temperature = 1, .seed = 9};
  Sampler forward(options, 5), backward(options, 5);
  std::vector<std::int32_t> a(50), b(50);
  for (int i = 0; i < 50; ++i) a[i] = forward.pick(kLogits, i);
  for (int i = 49; i >= 0; --i) b[i] = backward.pick(kLogits, i);
  EXPECT_EQ(a, b);
}

// What the sampler does, with a full sort.
std::int32_t pick_sorted(std::span<const float> logits, const SamplingOptions& options,
                         std::uint64_t draw) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return logits[a] > logits[b]; });
  if (options.top_k > 0) order.resize(std::min<std::size_t>(order.size(), options.top_k));
  std::vector<double> sums;
  for (const std::int32_t token : order) {
    const double weight = std::exp((logits[token] - logits[order[0]]) / options.temperature);
    sums.push_back(weight + (sums.empty() ? 0 : sums.back()));
  }
  std::size_t last = 0;
  while (last + 1 < sums.size() && sums[last] < options.top_p * sums.back()) ++last;
  const double target = random_uniform(options.seed, draw, 0) * sums[last];
  for (std::size_t i = 0; i < last; ++i) {
    if (target < sums[i]) return order[i];
  }
  return order[last];
}

TEST(Sampler, PicksWhatAFullSortWouldPick) {
  std::vector<float> logits;
  for (int i = 0; i < 5000; ++i) {  // in steps, so that many are equal
    logits.push_back(0.25f * std::floor(16 * static_cast<float>(random_uniform(3, i, 0))));
  }
  for (const double top_p : {1.0, 0.9, 0.1}) {
    for (const std::int64_t top_k : {0, 1000, 40}) {
      const SamplingOptions options{.temperature = 0.7, .top_p = top_p, .top_k = top_k, .seed = 4};
      Sampler sampler(options, std::ssize(logits));
      for (int draw = 0; draw < 50; ++draw) {
        EXPECT_EQ(sampler.pick(logits, draw), pick_sorted(logits, options, draw))
            << "top_p " << top_p << " top_k " << top_k << " draw " << draw;
      }
    }
  }
}

}  // namespace
}  // namespace ingot

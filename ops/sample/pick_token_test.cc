#include "ops/sample/pick_token.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <vector>

#include "engine/numbers/random.h"

namespace ingot {
namespace {

const std::vector<float> kLogits = {1.0f, 3.0f, 2.0f, 3.0f, -1.0f};

Picked pick(std::span<const float> logits, SampleRow row, std::uint64_t draw = 0) {
  std::vector<std::int32_t> order(logits.size());
  std::vector<double> weights(logits.size());
  row.draw = draw;
  return pick_token(logits, row, order, weights);
}

std::map<std::int32_t, int> draws(const SampleRow& row, int count) {
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < count; ++i) ++counts[pick(kLogits, row, i).token];
  return counts;
}

TEST(PickToken, GreedyTakesTheFirstOfTheLikeliest) {
  EXPECT_EQ(draws({}, 5), (std::map<std::int32_t, int>{{1, 5}}));
}

TEST(PickToken, TopKAndTopPLeaveOutTheUnlikely) {
  const auto two = draws({.temperature = 1, .top_k = 2}, 500);
  EXPECT_EQ(two.size(), 2u);
  EXPECT_TRUE(two.count(1) && two.count(3));
  // The two likeliest have 0.79 of the probability, the third brings it to 0.94.
  EXPECT_EQ(draws({.temperature = 1, .top_p = 0.75}, 500).size(), 2u);
  EXPECT_EQ(draws({.temperature = 1, .top_p = 0.9}, 2000).size(), 3u);
}

TEST(PickToken, DrawsWithTheSoftmaxOfTheTemperature) {
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

// Nothing is kept from one token to the next, and texts draw independently.
TEST(PickToken, IsAFunctionOfSeedTextAndDraw) {
  std::set<std::vector<std::int32_t>> texts;
  for (const std::uint64_t text : {0, 1}) {
    const SampleRow row{.temperature = 1, .seed = 9, .text = text};
    std::vector<std::int32_t> forward(50), backward(50);
    for (int i = 0; i < 50; ++i) forward[i] = pick(kLogits, row, i).token;
    for (int i = 49; i >= 0; --i) backward[i] = pick(kLogits, row, i).token;
    EXPECT_EQ(forward, backward);
    texts.insert(forward);
  }
  EXPECT_EQ(texts.size(), 2u);
}

// The likeliest have 1, 1, 0.37, 0.14 and 0.02 of the likeliest's probability.
TEST(PickToken, MinPLeavesOutWhatIsLessLikelyThanThatShareOfTheLikeliest) {
  EXPECT_EQ(draws({.temperature = 1, .min_p = 0.5}, 500).size(), 2u);
  EXPECT_EQ(draws({.temperature = 1, .min_p = 0.3}, 500).size(), 3u);
  EXPECT_EQ(draws({.temperature = 1, .top_p = 0.75, .min_p = 0.3}, 500).size(), 2u);
}

TEST(PickToken, WhatIsNotANumberIsNeverPicked) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = HUGE_VALF;
  const std::vector<float> some = {nan, 1, nan, 2, -infinity};
  for (const double temperature : {0.0, 1.0}) {
    for (int draw = 0; draw < 50; ++draw) {
      const std::int32_t token = pick(some, {.temperature = temperature}, draw).token;
      EXPECT_TRUE(token == 1 || token == 3) << token;
    }
  }
  const std::vector<float> none = {nan, nan};
  EXPECT_EQ(pick(none, {.temperature = 1}).token, 0);
}

TEST(PickToken, GivesTheLogarithmOfTheProbabilityWhateverTheTemperature) {
  double total = 0;
  for (const float logit : kLogits) total += std::exp(logit);
  for (const double temperature : {0.0, 3.0}) {
    const Picked picked =
        pick(kLogits, {.temperature = temperature, .seed = 2, .wants_probability = 1});
    EXPECT_NEAR(picked.log_probability, kLogits[picked.token] - std::log(total), 1e-6);
  }
  EXPECT_EQ(pick(kLogits, {}).log_probability, 0);
}

// The same with a full sort.
std::int32_t pick_sorted(std::span<const float> logits, const SampleRow& options,
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

TEST(PickToken, PicksWhatAFullSortWouldPick) {
  std::vector<float> logits;
  for (int i = 0; i < 5000; ++i) {  // in steps, so that many are equal
    logits.push_back(0.25f * std::floor(16 * static_cast<float>(random_uniform(3, i, 0))));
  }
  for (const double top_p : {1.0, 0.9, 0.1}) {
    for (const std::int64_t top_k : {0, 1000, 40}) {
      const SampleRow options{.temperature = 0.7, .top_p = top_p, .top_k = top_k, .seed = 4};
      for (int draw = 0; draw < 50; ++draw) {
        EXPECT_EQ(pick(logits, options, draw).token, pick_sorted(logits, options, draw))
            << "top_p " << top_p << " top_k " << top_k << " draw " << draw;
      }
    }
  }
}

}  // namespace
}  // namespace ingot

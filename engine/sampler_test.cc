#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

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

}  // namespace
}  // namespace ingot

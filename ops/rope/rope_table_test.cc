#include "ops/rope/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ingot {
namespace {

constexpr double kPrinted = 1e-8;  // the check values have nine digits, made from fp32 powers

void expect_frequencies(const RopeFrequencies& f,
                        std::initializer_list<std::pair<int, double>> expected) {
  const std::vector<double> got = rope_frequencies(f);
  ASSERT_EQ(static_cast<std::int64_t>(got.size()), f.half);
  for (const auto& [i, value] : expected) {
    EXPECT_NEAR(got[i], value, value * 3e-7 + kPrinted * 1e-6) << "pair " << i;
  }
}

RopeFrequencies deepseek_v3() {
  return {.half = 32,
          .scaling = RopeScaling::yarn,
          .factor = 40,
          .original_positions = 4096,
          .mscale = 1,
          .mscale_all_dim = 1};
}

TEST(RopeTable, PlainFrequenciesArePowersOfTheBase) {
  expect_frequencies({.half = 64, .base = 1e4}, {{0, 1.0}, {16, 0.1}, {32, 0.01}, {48, 0.001}});
}

TEST(RopeTable, LinearScalingDividesPositions) {
  expect_frequencies({.half = 2, .base = 1e4, .scaling = RopeScaling::linear, .factor = 4},
                     {{0, 0.25}, {1, 0.0025}});
}

TEST(RopeTable, Llama3FrequenciesMatchPublishedOnes) {
  expect_frequencies({.half = 64,
                      .base = 5e5,
                      .scaling = RopeScaling::llama3,
                      .factor = 8,
                      .original_positions = 8192},
                     {{28, 0.00321144599},
                      {29, 0.00216657076},
                      {31, 0.000856751413},
                      {34, 0.000178507813},
                      {35, 9.55621235e-05},
                      {63, 3.06892599e-07}});
}

TEST(RopeTable, YarnFrequenciesMatchDeepSeekV3) {
  expect_frequencies(deepseek_v3(), {{0, 1.0},
                                     {1, 0.749894209},
                                     {10, 0.0562341325},
                                     {15, 0.00833450895},
                                     {20, 0.000790569415},
                                     {23, 3.33380358e-05},
                                     {31, 3.33380358e-06}});
}

TEST(RopeTable, YarnFrequenciesMatchDeepSeekV4) {
  expect_frequencies({.half = 32,
                      .base = 1.6e5,
                      .scaling = RopeScaling::yarn,
                      .factor = 16,
                      .original_positions = 65536,
                      .attention_factor = 1},
                     {{1, 0.687656022},
                      {10, 0.0236435402},
                      {15, 0.00363553858},
                      {20, 0.000296977778},
                      {23, 4.54442323e-05},
                      {31, 5.68052904e-07}});
}

TEST(RopeTable, FactorsOfYarn) {
  const RopeFrequencies v3 = deepseek_v3();
  EXPECT_DOUBLE_EQ(rope_attention_factor(v3), 1);
  EXPECT_NEAR(rope_softmax_factor(v3), 1.8738542071, 1e-10);

  RopeFrequencies v2 = deepseek_v3();
  v2.mscale = v2.mscale_all_dim = 0.707;
  EXPECT_DOUBLE_EQ(rope_attention_factor(v2), 1);
  EXPECT_NEAR(rope_softmax_factor(v2), 1.5896261652, 1e-10);

  RopeFrequencies without_mscale = deepseek_v3();
  without_mscale.mscale = without_mscale.mscale_all_dim = 0;
  EXPECT_NEAR(rope_attention_factor(without_mscale), 1.3688879454, 1e-10);
  EXPECT_DOUBLE_EQ(rope_softmax_factor(without_mscale), 1);

  RopeFrequencies explicit_factor = deepseek_v3();
  explicit_factor.attention_factor = 1.5;
  EXPECT_DOUBLE_EQ(rope_attention_factor(explicit_factor), 1.5);

  // Of mscale_all_dim the scores know under every scaling, cos and sin under YaRN only.
  RopeFrequencies linear = v2;
  linear.scaling = RopeScaling::linear;
  EXPECT_DOUBLE_EQ(rope_attention_factor(linear), 1);
  EXPECT_NEAR(rope_softmax_factor(linear), 1.5896261652, 1e-10);

  EXPECT_DOUBLE_EQ(rope_attention_factor({.half = 4}), 1);
  EXPECT_DOUBLE_EQ(rope_softmax_factor({.half = 4}), 1);
}

TEST(RopeTable, HoldsCosinesThenSinesTimesTheAttentionFactor) {
  RopeFrequencies f{.half = 2,
                    .base = 100,
                    .scaling = RopeScaling::yarn,
                    .factor = 2,
                    .original_positions = 64,
                    .attention_factor = 1.25};
  const std::vector<double> w = rope_frequencies(f);
  const std::vector<float> table = rope_table(f, 8);
  ASSERT_EQ(table.size(), 8u * 4u);
  for (int position = 0; position < 8; ++position) {
    for (int i = 0; i < 2; ++i) {
      EXPECT_FLOAT_EQ(table[position * 4 + i],
                      static_cast<float>(1.25 * std::cos(position * w[i])));
      EXPECT_FLOAT_EQ(table[position * 4 + 2 + i],
                      static_cast<float>(1.25 * std::sin(position * w[i])));
    }
  }
}

}  // namespace
}  // namespace ingot

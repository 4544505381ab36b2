#include "tools/verify/measures.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace ingot {
namespace {

using Floats = std::vector<float>;

TEST(Measures, AreWhatTheySay) {
  const Floats expected{1, -4, 2, 0.5f}, actual{1, -4, 2.5f, 0.25f};
  EXPECT_DOUBLE_EQ(relative_error(actual, expected), 0.5 / 4);
  // Differences 0, 0, 0.25, 0.5: the third of them. Squares: 21.25 in all.
  EXPECT_DOUBLE_EQ(typical_error(actual, expected), 0.25 / std::sqrt(21.25 / 4));
  EXPECT_DOUBLE_EQ(mean_error(actual, expected), std::sqrt((0.25 + 0.0625) / 21.25));
  EXPECT_DOUBLE_EQ(worst_ratio(actual, expected), 0.5);
}

TEST(Measures, WhatIsNoNumberOrIsNotThereIsFarOff) {
  for (const auto measure : {relative_error, typical_error, mean_error}) {
    EXPECT_TRUE(std::isinf(measure(Floats{1, 2}, Floats{1, 2, 3})));
    EXPECT_TRUE(std::isinf(measure(Floats{1, NAN, 3}, Floats{1, 2, 3})));  // though others agree
  }
  EXPECT_TRUE(std::isinf(worst_ratio(Floats{NAN, 2}, Floats{1, 2})));
}

}  // namespace
}  // namespace ingot

#include "engine/numbers/random.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

// Known answers of the authors' reference implementation (Random123, kat_vectors, philox4x32-10).
TEST(Philox, GivesThePublishedWords) {
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, UniformAndNormalHaveTheirMoments) {
  constexpr int kCount = 20000;
  double uniform = 0, normal = 0, squares = 0;
  for (int i = 0; i < kCount; ++i) {
    const double u = random_uniform(7, 3, i);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    uniform += u;
    const auto pair = random_normal_pair(7, 4, i);
    normal += pair[0] + pair[1];
    squares += pair[0] * pair[0] + pair[1] * pair[1];
  }
  // Four standard errors of each mean.
  EXPECT_NEAR(uniform / kCount, 0.5, 4 * 0.2887 / std::sqrt(kCount));
  EXPECT_NEAR(normal / (2 * kCount), 0, 4 / std::sqrt(2.0 * kCount));
  EXPECT_NEAR(squares / (2 * kCount), 1, 4 * std::sqrt(2.0) / std::sqrt(2.0 * kCount));
}

}  // namespace
}  // namespace ingot

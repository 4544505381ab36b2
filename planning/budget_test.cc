#include "planning/budget.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

TEST(BinaryUnits, AreRoundedUpSoThatABudgetOfThemIsEnough) {
  EXPECT_EQ(binary_units(1), "1 MiB");
  EXPECT_EQ(binary_units(96 * kMiB), "96 MiB");
  EXPECT_EQ(binary_units(96 * kMiB + 1), "97 MiB");
  EXPECT_EQ(binary_units(1024 * kMiB), "1.00 GiB");
  EXPECT_EQ(binary_units(1024 * kMiB + 1), "1.01 GiB");
}

TEST(ProcessBytes, AreARuleThatSmallMovementsOfTheProcessDoNotChange) {
  const Program program;
  const std::int64_t ordinary = process_bytes(program, 7 * kMiB, /*running=*/false);
  EXPECT_GE(ordinary, 19 * kMiB);  // 7 at the start and 12 of the run
  EXPECT_EQ(process_bytes(program, 0, false), ordinary);
  EXPECT_EQ(process_bytes(program, 15 * kMiB, false), ordinary);
  EXPECT_EQ(process_bytes(program, 19 * kMiB, true), ordinary);
}

TEST(ProcessBytes, AreThoseOfAProcessThatHoldsClearlyMore) {
  const Program program;
  EXPECT_EQ(process_bytes(program, 50 * kMiB, /*running=*/true), 52 * kMiB);
  EXPECT_EQ(process_bytes(program, 49 * kMiB + 1, true), 52 * kMiB);
  EXPECT_EQ(process_bytes(program, 50 * kMiB, false), 64 * kMiB);
}

}  // namespace
}  // namespace ingot

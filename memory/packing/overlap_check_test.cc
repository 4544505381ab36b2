#include "memory/packing/overlap_check.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "engine/base/error.h"
#include "memory/packing/packing.h"
#include "memory/packing/testing/generated_programs.h"

namespace ingot {
namespace {

using Kind = Misplacement::Kind;

TEST(OverlapCheck, AcceptsNeighboursInSpaceAndInTime) {
  const std::vector<Buffer> buffers = {{10, 0, 3}, {10, 0, 3}, {20, 4, 4}};
  EXPECT_FALSE(find_misplacement(buffers, std::vector<std::int64_t>{0, 10, 0}, 20));
  EXPECT_FALSE(find_misplacement({}, {}, 0));
}

TEST(OverlapCheck, FindsOneSharedByteAtOneSharedOp) {
  const std::vector<Buffer> buffers = {{10, 0, 3}, {10, 3, 5}};
  const auto found = find_misplacement(buffers, std::vector<std::int64_t>{0, 9}, 19);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, Kind::overlap);
  EXPECT_EQ(std::pair(found->a, found->b), std::pair(std::size_t{0}, std::size_t{1}));
  EXPECT_EQ(found->op, 3);
}

TEST(OverlapCheck, FindsTheSamePlaceAndOneWithinAnother) {
  const std::vector<Buffer> buffers = {{100, 0, 9}, {4, 5, 6}};
  for (const std::int64_t inside : {0, 50, 96}) {
    EXPECT_TRUE(find_misplacement(buffers, std::vector<std::int64_t>{0, inside}, 100)) << inside;
  }
  EXPECT_FALSE(find_misplacement(buffers, std::vector<std::int64_t>{0, 100}, 104));
}

TEST(OverlapCheck, FindsWhatLeavesTheArenaEvenByOverflow) {
  const std::vector<Buffer> buffers = {{10, 0, 1}, {10, 1, 1}};
  for (const std::int64_t offset : {std::int64_t{-1}, std::int64_t{11}, INT64_MAX - 3, INT64_MIN}) {
    const auto found = find_misplacement(buffers, std::vector<std::int64_t>{0, offset}, 20);
    ASSERT_TRUE(found) << offset;
    EXPECT_EQ(found->kind, Kind::outside);
    EXPECT_EQ(found->a, 1u);
  }
}

TEST(OverlapCheck, ReportsTheFirstInOpOrder) {
  const std::vector<Buffer> buffers = {{8, 7, 9}, {8, 7, 9}, {8, 2, 4}, {8, 4, 5}};
  const auto found = find_misplacement(buffers, std::vector<std::int64_t>{0, 0, 0, 4}, 16);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->op, 4);
}

TEST(OverlapCheck, RefusesALengthThatDoesNotMatch) {
  const std::vector<Buffer> buffers = {{8, 0, 1}};
  EXPECT_THROW(find_misplacement(buffers, {}, 8), Error);
}

bool any_pair_collides(const std::vector<Buffer>& buffers, const std::vector<std::int64_t>& at) {
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const Buffer &a = buffers[i], &b = buffers[j];
      if (a.first <= b.last && b.first <= a.last && at[i] < at[j] + b.bytes &&
          at[j] < at[i] + a.bytes) {
        return true;
      }
    }
  }
  return false;
}

// Sound packings with one buffer pushed aside, by as little as a byte: found exactly when a
// comparison of all pairs finds it.
TEST(OverlapCheck, AgreesWithComparingAllPairsOnPlantedErrors) {
  std::mt19937_64 random(1);
  int planted = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto buffers = random_buffers(30, 20, 64, static_cast<std::uint64_t>(round));
    auto packing = pack(buffers, {.alignment = 1, .climb_tries = 0});
    ASSERT_FALSE(find_misplacement(buffers, packing.offsets, packing.total_bytes));
    auto& offset = packing.offsets[random() % buffers.size()];
    offset = std::max<std::int64_t>(0, offset + static_cast<std::int64_t>(random() % 9) - 4);
    const bool bad = any_pair_collides(buffers, packing.offsets);
    planted += bad;
    ASSERT_EQ(find_misplacement(buffers, packing.offsets, packing.total_bytes + 4).has_value(), bad)
        << "round " << round;
  }
  EXPECT_GT(planted, 500);
}

}  // namespace
}  // namespace ingot

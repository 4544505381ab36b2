#include "memory/timeline.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "memory/packing/packing.h"
#include "memory/packing/testing/generated_programs.h"

namespace ingot {
namespace {

TEST(Timeline, CountsLiveBytesByRoleAndFindsThePeak) {
  const std::vector<Buffer> buffers = {{100, 0, 3}, {50, 1, 2}, {70, 2, 2}, {10, 3, 3}};
  const std::vector<int> roles = {0, 1, 1, 2};
  const Timeline timeline = make_timeline(buffers, roles, 3, 4, /*alignment=*/1);
  EXPECT_EQ(timeline.live_bytes, (std::vector<std::int64_t>{100, 150, 220, 110}));
  EXPECT_EQ(timeline.peak_op, 2);
  EXPECT_EQ(timeline.peak_bytes, 220);
  const auto at_peak = timeline.roles_at(2);
  EXPECT_EQ(std::vector<std::int64_t>(at_peak.begin(), at_peak.end()),
            (std::vector<std::int64_t>{100, 120, 0}));
}

TEST(Timeline, PeakIsTheLowerBoundOfThePacking) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto buffers = random_buffers(40, 30, 5000, seed);
    const std::vector<int> roles(buffers.size(), 0);
    EXPECT_EQ(make_timeline(buffers, roles, 1, 30).peak_bytes, lower_bound(buffers));
  }
}

TEST(Timeline, NamesTheLargestLiveBuffersLargestFirst) {
  const std::vector<Buffer> buffers = {{5, 0, 9}, {9, 0, 3}, {7, 2, 4}, {7, 4, 9}, {1, 4, 4}};
  EXPECT_EQ(largest_live(buffers, 4, 3), (std::vector<std::size_t>{2, 3, 0}));
  EXPECT_EQ(largest_live(buffers, 0, 10), (std::vector<std::size_t>{1, 0}));
  EXPECT_TRUE(largest_live(buffers, 10, 10).empty());
}

TEST(Timeline, OfNoOpsIsEmpty) {
  const Timeline timeline = make_timeline({}, {}, 3, 0);
  EXPECT_TRUE(timeline.live_bytes.empty());
  EXPECT_EQ(timeline.peak_bytes, 0);
}

TEST(Timeline, RefusesUnknownRolesAndLivesOutsideTheProgram) {
  const std::vector<Buffer> buffers = {{8, 0, 4}};
  EXPECT_THROW(make_timeline(buffers, std::vector<int>{2}, 2, 5), Error);
  EXPECT_THROW(make_timeline(buffers, std::vector<int>{-1}, 2, 5), Error);
  EXPECT_THROW(make_timeline(buffers, std::vector<int>{0}, 2, 4), Error);
  EXPECT_THROW(make_timeline(buffers, std::vector<int>{}, 2, 5), Error);
}

}  // namespace
}  // namespace ingot

#include "memory/packing/packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <numeric>
#include <string>

#include "engine/base/align.h"
#include "engine/base/error.h"
#include "memory/packing/overlap_check.h"
#include "memory/packing/testing/generated_programs.h"

namespace ingot {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // ten times slower: a part of the work
#else
constexpr bool kSanitized = false;
#endif

std::int64_t sum_of_sizes(const std::vector<Buffer>& buffers, std::int64_t alignment) {
  return std::accumulate(buffers.begin(), buffers.end(), std::int64_t{0},
                         [&](std::int64_t sum, const Buffer& buffer) {
                           return sum + align_up(buffer.bytes, alignment);
                         });
}

// The plainest way: add up what is alive at every op at which something starts.
std::int64_t plain_lower_bound(const std::vector<Buffer>& buffers, std::int64_t alignment) {
  std::int64_t most = 0;
  for (const Buffer& start : buffers) {
    std::int64_t live = 0;
    for (const Buffer& other : buffers) {
      if (other.first <= start.first && start.first <= other.last) {
        live += align_up(other.bytes, alignment);
      }
    }
    most = std::max(most, live);
  }
  return most;
}

// By comparing all pairs, not by the sweep that pack() itself runs.
bool any_pair_collides(const std::vector<Buffer>& buffers, const Packing& packing) {
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const Buffer &a = buffers[i], &b = buffers[j];
      if (a.first <= b.last && b.first <= a.last &&
          packing.offsets[i] < packing.offsets[j] + b.bytes &&
          packing.offsets[j] < packing.offsets[i] + a.bytes) {
        return true;
      }
    }
  }
  return false;
}

void expect_sound(const std::vector<Buffer>& buffers, const PackingOptions& options) {
  const Packing packing = pack(buffers, options);
  ASSERT_EQ(packing.offsets.size(), buffers.size());
  std::int64_t end = 0;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    ASSERT_GE(packing.offsets[i], 0);
    ASSERT_EQ(packing.offsets[i] % options.alignment, 0);
    end = std::max(end, packing.offsets[i] + align_up(buffers[i].bytes, options.alignment));
  }
  EXPECT_EQ(packing.total_bytes, end);
  EXPECT_GE(packing.total_bytes, packing.lower_bound_bytes);
  EXPECT_LE(packing.total_bytes, sum_of_sizes(buffers, options.alignment));
  EXPECT_FALSE(any_pair_collides(buffers, packing));
}

TEST(Packing, IsSoundForThousandsOfRandomSets) {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    const int count = static_cast<int>(seed % 60), ops = 1 + static_cast<int>(seed % 37);
    const std::int64_t alignment = std::int64_t{1} << (seed % 13);
    const auto buffers = random_buffers(count, ops, 1 + static_cast<int>(seed % 5000), seed);
    ASSERT_EQ(lower_bound(buffers, alignment), plain_lower_bound(buffers, alignment));
    expect_sound(buffers, {.alignment = alignment, .climb_tries = 30, .seed = seed});
    if (HasFailure()) FAIL() << "seed " << seed;
  }
}

TEST(Packing, IsSoundForLargeSetsAndAnyClimb) {
  for (const int tries : {0, 1, 300}) {
    expect_sound(random_buffers(700, 300, 1 << 20, 5), {.tolerance = 0, .climb_tries = tries});
    expect_sound(shattered_rectangle(300, 64, 4096, 3), {.alignment = 1, .climb_tries = tries});
  }
}

TEST(Packing, OfNothingIsEmpty) {
  const Packing packing = pack({});
  EXPECT_EQ(packing.total_bytes, 0);
  EXPECT_EQ(packing.lower_bound_bytes, 0);
  EXPECT_EQ(lower_bound({}), 0);
}

TEST(Packing, GivesTheSameBytesToLivesThatDoNotMeetAndOthersToThoseThatTouch) {
  const std::vector<Buffer> apart = {{1000, 0, 1}, {900, 2, 5}, {800, 6, 6}};
  EXPECT_EQ(pack(apart).total_bytes, 1024);
  const std::vector<Buffer> touching = {{1000, 0, 2}, {900, 2, 5}};
  EXPECT_EQ(pack(touching).total_bytes, 2048);
}

TEST(Packing, PutsWhatLivesThroughoutAtTheBottom) {
  const std::vector<Buffer> buffers = {{512, 3, 4}, {256, 0, 9}, {512, 0, 2}, {256, 0, 9}};
  const Packing packing = pack(buffers);
  EXPECT_EQ(packing.offsets, (std::vector<std::int64_t>{512, 0, 512, 256}));
  EXPECT_EQ(packing.total_bytes, packing.lower_bound_bytes);
}

TEST(Packing, FindsPerfectPackingsOfSmallShatteredRectangles) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Packing packing =
        pack(shattered_rectangle(12, 12, 4096, seed), {.alignment = 1, .tolerance = 0});
    ASSERT_EQ(packing.lower_bound_bytes, 4096);
    ASSERT_EQ(packing.total_bytes, 4096) << "seed " << seed;
  }
}

TEST(Packing, IsWithinAQuarterPercentOfTheLowerBoundOnTransformersSteps) {
  const auto family = transformer_family();
  for (std::size_t i = 0; i < family.size(); i += kSanitized ? 9 : 1) {
    const StepShape& shape = family[i];
    const auto buffers = transformer_step(shape);
    const Packing packing = pack(buffers);
    const double gap =
        static_cast<double>(packing.total_bytes) / static_cast<double>(packing.lower_bound_bytes) -
        1;
    EXPECT_LE(gap, 0.0025) << shape.name << ", " << buffers.size() << " buffers";
  }
}

// The climb follows each change only as far as it reaches; what it improves must be visible.
TEST(Packing, ClimbsFromWhereTheGreedyOrdersEnd) {
  const auto buffers = shattered_rectangle(200, 200, 1 << 20, 7);
  const Packing greedy = pack(buffers, {.alignment = 1, .climb_tries = 0});
  const Packing climbed = pack(buffers, {.alignment = 1});
  EXPECT_LT(climbed.total_bytes - climbed.lower_bound_bytes,
            (greedy.total_bytes - greedy.lower_bound_bytes) / 4);
}

TEST(Packing, IsAPureFunctionOfBuffersAndOptions) {
  const auto buffers = random_buffers(400, 200, 1 << 16, 11);
  const PackingOptions options = {.climb_tries = 200};
  const Packing once = pack(buffers, options), again = pack(buffers, options);
  EXPECT_EQ(once.offsets, again.offsets);
  EXPECT_EQ(once.total_bytes, again.total_bytes);
  auto elsewhere = buffers;  // op numbers matter by their order only
  for (Buffer& buffer : elsewhere) {
    buffer.first = 1'000'000'000'000 + 7 * buffer.first;
    buffer.last = 1'000'000'000'000 + 7 * buffer.last;
  }
  EXPECT_EQ(pack(elsewhere, options).offsets, once.offsets);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they are no clocks
double processor_seconds(const std::vector<Buffer>& buffers) {
  const std::clock_t start = std::clock();
  pack(buffers);
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

// Measured: 0.02 s and 2 s (packing_benchmark); the bounds are the promise, of one core.
TEST(Packing, OfFiveThousandBuffersTakesUnderASecondAndOfFiftyThousandUnderTen) {
  const auto small = transformer_step({.layers = 65, .saved = Saved::mixed});
  EXPECT_GT(small.size(), 5000u);
  EXPECT_LT(processor_seconds(small), 1);
  const auto large = transformer_step({.layers = 650, .saved = Saved::mixed});
  EXPECT_GT(large.size(), 49000u);
  EXPECT_LT(processor_seconds(large), 10);
}
#endif

ErrorCode code_of(const std::vector<Buffer>& buffers, const PackingOptions& options = {}) {
  try {
    pack(buffers, options);
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode{};
}

TEST(Packing, RefusesBrokenBuffersOptionsAndSumsThatOverflow) {
  constexpr auto kHuge = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(code_of({{0, 0, 1}}), ErrorCode::usage);
  EXPECT_EQ(code_of({{-5, 0, 1}}), ErrorCode::usage);
  EXPECT_EQ(code_of({{1, 2, 1}}), ErrorCode::usage);
  EXPECT_EQ(code_of({{1, 0, 1}}, {.alignment = 0}), ErrorCode::usage);
  EXPECT_EQ(code_of({{1, 0, 1}}, {.tolerance = -1}), ErrorCode::usage);
  EXPECT_EQ(code_of({{kHuge, 0, 1}}), ErrorCode::budget);
  EXPECT_EQ(code_of({{kHuge / 3, 0, 1}, {kHuge / 3, 5, 9}}), ErrorCode::budget);
}

}  // namespace
}  // namespace ingot

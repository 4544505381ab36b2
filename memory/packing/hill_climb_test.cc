#include "memory/packing/hill_climb.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "memory/packing/testing/generated_programs.h"

namespace ingot {
namespace {

std::vector<Item> items_of(const std::vector<Buffer>& buffers) {
  std::vector<Item> items;
  for (const Buffer& buffer : buffers) {
    items.push_back({buffer.bytes, static_cast<std::int32_t>(buffer.first),
                     static_cast<std::int32_t>(buffer.last)});
  }
  return items;
}

// First fit by trying every place there is, lowest first.
std::vector<std::int64_t> plain_first_fit(const std::vector<Item>& items,
                                          const std::vector<std::int32_t>& order) {
  std::vector<std::int64_t> offsets(items.size());
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const Item& item = items[order[rank]];
    std::vector<std::int32_t> others;
    for (std::size_t r = 0; r < rank; ++r) {
      const Item& other = items[order[r]];
      if (other.first <= item.last && item.first <= other.last) others.push_back(order[r]);
    }
    std::vector<std::int64_t> places = {0};
    for (const std::int32_t other : others) places.push_back(offsets[other] + items[other].size);
    std::sort(places.begin(), places.end());
    const auto is_free = [&](std::int64_t place) {
      return std::none_of(others.begin(), others.end(), [&](std::int32_t other) {
        return offsets[other] < place + item.size && place < offsets[other] + items[other].size;
      });
    };
    offsets[order[rank]] = *std::find_if(places.begin(), places.end(), is_free);
  }
  return offsets;
}

// Following a change only as far as it reaches must end where packing anew does.
TEST(HillClimb, KeepsTheOffsetsThatFirstFitGivesInItsOrder) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const int count = 20 + static_cast<int>(seed % 100), ops = 5 + static_cast<int>(seed * 7 % 300);
    const auto items = items_of(seed % 2 == 0 ? random_buffers(count, ops, 100, seed)
                                              : shattered_rectangle(count, ops, 500, seed));
    std::vector<std::int32_t> order(items.size());
    std::iota(order.begin(), order.end(), 0);
    const auto start = plain_first_fit(items, order);
    HillClimb climb(items, ops, order, start, /*target=*/1);
    const std::int64_t before = climb.total();
    std::int64_t best = before;
    for (int round = 0; round < 4; ++round) {
      climb.run(15, 1'000'000, seed + round);
      ASSERT_EQ(climb.offsets(), plain_first_fit(items, climb.order())) << "seed " << seed;
      std::int64_t total = 0;
      for (std::size_t i = 0; i < items.size(); ++i) {
        total = std::max(total, climb.offsets()[i] + items[i].size);
      }
      ASSERT_EQ(climb.total(), total);
      ASSERT_LE(total, best);
      best = total;
    }
  }
}

TEST(HillClimb, StopsAtTheTargetAndWhenItsWorkIsSpent) {
  const auto items = items_of(random_buffers(200, 100, 1000, 1));
  std::vector<std::int32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0);
  const auto start = plain_first_fit(items, order);
  HillClimb idle(items, 100, order, start, /*target=*/0);
  idle.run(1000, /*work=*/0, 1);
  EXPECT_EQ(idle.offsets(), start);
  HillClimb content(items, 100, order, start, /*target=*/idle.total());
  content.run(1000, 1'000'000, 1);
  EXPECT_EQ(content.offsets(), start);
}

}  // namespace
}  // namespace ingot

#include "parallel/pipeline/schedules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <stdexcept>

namespace ingot {
namespace {

constexpr PartKind kForward = PartKind::forward, kBackward = PartKind::backward,
                   kWeightGradients = PartKind::weight_gradients;

// How many micro-batches are between these two parts of rank r at most.
int most_between(const Schedule& rank, PartKind from, PartKind to) {
  int now = 0, most = 0;
  for (const Action& action : rank) {
    now += action.part.kind == from ? 1 : action.part.kind == to ? -1 : 0;
    most = std::max(most, now);
  }
  return most;
}

TEST(Schedules, DoEveryPartOfEveryMicroBatchOnceAndInOrder) {
  for (int ranks = 1; ranks <= 6; ++ranks) {
    for (int micro_batches = 1; micro_batches <= 9; ++micro_batches) {
      for (const bool split : {false, true}) {
        const auto lists = split ? zero_bubble_h1(ranks, micro_batches)
                                 : one_forward_one_backward(ranks, micro_batches);
        const Schedule schedule = in_one_process(lists);
        std::map<std::pair<Part, int>, std::size_t> times;
        for (std::size_t i = 0; i + 1 < schedule.size(); ++i) {
          EXPECT_TRUE(times.try_emplace({schedule[i].part, schedule[i].micro_batch}, i).second);
        }
        EXPECT_EQ(std::ssize(times), ranks * micro_batches * (split ? 3 : 2));
        EXPECT_EQ(schedule.back(), Action{Part::update});
        const auto at = [&](PartKind kind, int chunk, int i) {
          return times.at({{kind, chunk}, i});
        };
        for (int chunk = 0; chunk < ranks; ++chunk) {
          for (int i = 0; i < micro_batches; ++i) {
            EXPECT_LT(at(kForward, chunk, i), at(kBackward, chunk, i));
            if (split) {
              EXPECT_LT(at(kBackward, chunk, i), at(kWeightGradients, chunk, i));
            }
            if (chunk == 0) continue;
            EXPECT_LT(at(kForward, chunk - 1, i), at(kForward, chunk, i));
            EXPECT_LT(at(kBackward, chunk, i), at(kBackward, chunk - 1, i));
          }
        }
      }
    }
  }
}

// The table of arXiv 2401.10241: 1F1B and ZB-H1 keep as much.
TEST(Schedules, KeepAsManyMicroBatchesAsRanksFollow) {
  constexpr int kRanks = 4, kMicroBatches = 12;
  const auto plain = one_forward_one_backward(kRanks, kMicroBatches);
  const auto split = zero_bubble_h1(kRanks, kMicroBatches);
  for (int rank = 0; rank < kRanks; ++rank) {
    EXPECT_EQ(most_between(plain[rank], kForward, kBackward), kRanks - rank);
    EXPECT_EQ(most_between(split[rank], kForward, kBackward), kRanks - rank);
    EXPECT_LE(most_between(split[rank], kForward, kWeightGradients), kRanks + 1);
  }
}

TEST(Schedules, AreRefusedWhenTheyCannotEnd) {
  auto lists = one_forward_one_backward(2, 3);
  std::swap(lists[1][0], lists[1][1]);  // a backward before its forward
  EXPECT_THROW(in_one_process(lists), std::logic_error);
}

TEST(Turns, AreTheFirstAndTheLastRunOfTheirPart) {
  const Schedule schedule = in_one_process(one_forward_one_backward(2, 3));
  for (std::size_t i = 0; i + 1 < schedule.size(); ++i) {
    const Turn turn = turn_of(schedule, i);
    EXPECT_EQ(turn.first, schedule[i].micro_batch == 0);
    EXPECT_EQ(turn.last, schedule[i].micro_batch == 2);
  }
}

}  // namespace
}  // namespace ingot

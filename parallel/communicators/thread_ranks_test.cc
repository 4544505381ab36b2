#include "parallel/communicators/thread_ranks.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <string>
#include <thread>

#include "engine/base/error.h"

namespace ingot {
namespace {

void on_all(ThreadRanks& world, int size, const std::function<void(Communicators&)>& work) {
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] { work(world.rank(rank)); });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(ThreadRanks, MessagesOfOnePeerArriveInTheOrderTheyWereSent) {
  ThreadRanks world(2, /*delays=*/1);
  on_all(world, 2, [](Communicators& ranks) {
    Communicator& channel = ranks.of(3);
    for (int round = 0; round < 20; ++round) {
      std::array<int, 2> mine = {2 * round + ranks.rank(), 2 * round + ranks.rank() + 100};
      std::array<int, 2> theirs = {};
      std::vector<Communicator::Message> out, in;
      for (int i = 0; i < 2; ++i) {
        out.push_back({1 - ranks.rank(), std::as_writable_bytes(std::span(&mine[i], 1))});
        in.push_back({1 - ranks.rank(), std::as_writable_bytes(std::span(&theirs[i], 1))});
      }
      exchange(channel, out, in);
      EXPECT_EQ(theirs[0], 2 * round + 1 - ranks.rank());
      EXPECT_EQ(theirs[1], 2 * round + 1 - ranks.rank() + 100);
    }
  });
  EXPECT_EQ(world.traffic().messages, 2 * 2 * 20);
  EXPECT_EQ(world.traffic().bytes, 2 * 2 * 20 * 4);
}

TEST(ThreadRanks, AgreeOnSumsAndExtremesAndOnTheFirstOnesText) {
  ThreadRanks world(3, /*delays=*/2);
  on_all(world, 3, [](Communicators& ranks) {
    std::array<std::int64_t, 2> values = {ranks.rank() + 1, -ranks.rank()};
    agree(ranks, values, Combine::sum);
    EXPECT_EQ(values, (std::array<std::int64_t, 2>{6, -3}));
    values = {ranks.rank(), -ranks.rank()};
    agree(ranks, values, Combine::most);
    EXPECT_EQ(values, (std::array<std::int64_t, 2>{2, 0}));
    values = {ranks.rank(), -ranks.rank()};
    agree(ranks, values, Combine::least);
    EXPECT_EQ(values, (std::array<std::int64_t, 2>{0, -2}));
    EXPECT_EQ(broadcast(ranks, ranks.rank() == 0 ? "the plan" : "nothing of mine"), "the plan");
    EXPECT_EQ(broadcast(ranks, ""), "");
  });
}

TEST(ThreadRanks, WhoLeavesIsNamedToThoseThatWaitForIt) {
  ThreadRanks world(2);
  on_all(world, 2, [&](Communicators& ranks) {
    if (ranks.rank() == 1) return world.leave(1);
    std::int64_t value = 0;
    try {
      agree(ranks, std::span(&value, 1), Combine::sum);
      FAIL();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("rank 1 has left"), std::string::npos);
    }
  });
}

}  // namespace
}  // namespace ingot

#include "backends/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

#include "engine/base/error.h"

namespace ingot::cpu {
namespace {

TEST(ThreadPool, RunsEveryTileExactlyOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int tiles : {0, 1, 2, 3, 7, 8, 100, 1000}) {
      std::vector<int> runs(tiles, 0);  // plain ints: a tile run twice at once is a data race
      pool.parallel_for(tiles, [&](std::int64_t tile, int thread) {
        EXPECT_GE(thread, 0);
        EXPECT_LT(thread, threads);
        ++runs[tile];
      });
      EXPECT_EQ(runs, std::vector<int>(tiles, 1)) << threads << " threads, " << tiles << " tiles";
    }
  }
}

TEST(ThreadPool, WhatTilesWroteIsVisibleAfterwardsOverManyJobs) {
  ThreadPool pool(4);
  std::vector<std::int64_t> values(37, 0);
  std::int64_t expected = 0;
  for (int job = 1; job <= 20000; ++job) {
    const int tiles = job % static_cast<int>(values.size()) + 1;
    pool.parallel_for(tiles, [&](std::int64_t tile, int) { values[tile] += job; });
    expected += std::int64_t{job} * tiles;
  }
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), std::int64_t{0}), expected);
}

TEST(ThreadPool, ThreadNumberGuardsScratchMemory) {
  ThreadPool pool(4);
  std::vector<std::int64_t> scratch(4, 0);  // plain: two calls at once on one thread number race
  pool.parallel_for(10000, [&](std::int64_t, int thread) { ++scratch[thread]; });
  EXPECT_EQ(std::accumulate(scratch.begin(), scratch.end(), std::int64_t{0}), 10000);
}

TEST(ThreadPool, NestedCallRunsInlineOnItsThread) {
  ThreadPool pool(3);
  std::atomic<int> inner{0};
  pool.parallel_for(6, [&](std::int64_t, int outer_thread) {
    const auto id = std::this_thread::get_id();
    pool.parallel_for(5, [&](std::int64_t, int thread) {
      EXPECT_EQ(thread, outer_thread);
      EXPECT_EQ(std::this_thread::get_id(), id);
      ++inner;
    });
  });
  EXPECT_EQ(inner, 30);
}

TEST(ThreadPool, AnotherPoolMayBeUsedInsideABody) {
  ThreadPool outer(2), inner(2);
  std::atomic<int> runs{0};
  outer.parallel_for(1, [&](std::int64_t, int) {
    inner.parallel_for(8, [&](std::int64_t, int) { ++runs; });
    outer.parallel_for(3, [&](std::int64_t, int thread) {
      EXPECT_EQ(thread, 0);
      ++runs;
    });
  });
  EXPECT_EQ(runs, 11);
}

TEST(ThreadPool, WakesThreadsThatWentToSleep) {
  ThreadPool pool(2);
  for (int job = 0; job < 5; ++job) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // far longer than they spin
    // Each tile waits for the other: done only if both threads take part.
    std::atomic<int> here{0};
    pool.parallel_for(2, [&](std::int64_t, int) {
      ++here;
      while (here < 2) std::this_thread::yield();
    });
    EXPECT_EQ(here, 2);
  }
}

TEST(ThreadPool, RefusesNoThreads) { EXPECT_THROW(ThreadPool(0), Error); }

TEST(DefaultThreads, IsPositiveAndFollowsTheEnvironment) {
  unsetenv("INGOT_THREADS");
  EXPECT_GE(default_threads(), 1);
  EXPECT_LE(default_threads(), static_cast<int>(std::thread::hardware_concurrency()));
  setenv("INGOT_THREADS", "7", 1);
  EXPECT_EQ(default_threads(), 7);
  for (const char* bad : {"0", "-1", "two", "3x", "5000", " "}) {
    setenv("INGOT_THREADS", bad, 1);
    EXPECT_THROW(default_threads(), Error) << bad;
  }
  unsetenv("INGOT_THREADS");
}

}  // namespace
}  // namespace ingot::cpu

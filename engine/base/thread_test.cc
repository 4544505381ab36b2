#include "engine/base/thread.h"

#include <gtest/gtest.h>

#include <vector>

namespace ingot {
namespace {

std::size_t stack_bytes() {
  pthread_attr_t attributes;
  pthread_getattr_np(pthread_self(), &attributes);
  std::size_t bytes = 0;
  pthread_attr_getstacksize(&attributes, &bytes);
  pthread_attr_destroy(&attributes);
  return bytes;
}

TEST(Thread, RunsItsWorkOnASmallStackAndLeavesThoseOfOthers) {
  pthread_attr_t before, after;
  pthread_getattr_default_np(&before);
  std::size_t own = 0;
  Thread([&] { own = stack_bytes(); }).join();
  EXPECT_GT(own, 0u);
#ifndef __SANITIZE_THREAD__
  EXPECT_LE(own, 512u << 10);
#endif
  pthread_getattr_default_np(&after);
  std::size_t size_before = 0, size_after = 0;
  pthread_attr_getstacksize(&before, &size_before);
  pthread_attr_getstacksize(&after, &size_after);
  EXPECT_EQ(size_after, size_before);
}

TEST(Thread, EndsBeforeWhoeverHoldsIt) {
  std::vector<int> done(3);
  {
    std::vector<Thread> threads;
    for (int i = 0; i < 3; ++i) threads.emplace_back([&done, i] { done[i] = i + 1; });
  }
  EXPECT_EQ(done, (std::vector<int>{1, 2, 3}));
}

}  // namespace
}  // namespace ingot

#include "training/run/run_signals.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

namespace ingot {
namespace {

TEST(RunSignals, SetFlagsInsteadOfEndingTheProcess) {
  const RunSignals signals;
  EXPECT_EQ(signals.stop(), 0);
  EXPECT_FALSE(signals.take_reread());
  std::raise(SIGUSR1);
  EXPECT_TRUE(signals.take_reread());
  EXPECT_FALSE(signals.take_reread());
  std::raise(SIGTERM);
  EXPECT_EQ(signals.stop(), SIGTERM);
}

// As in a run, where most signals interrupt a thread of the pool.
TEST(RunSignals, AreSeenByOneThreadWhenAnotherGetsThem) {
  std::signal(SIGINT, SIG_DFL);  // whatever the test was started with
  const RunSignals signals;
  std::atomic<bool> ended = false;
  std::thread other([&ended] {
    while (!ended.load(std::memory_order_relaxed)) std::this_thread::yield();
  });
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  pthread_kill(other.native_handle(), SIGUSR1);
  bool reread = false;
  while (!reread && std::chrono::steady_clock::now() < until) reread = signals.take_reread();
  EXPECT_TRUE(reread);
  pthread_kill(other.native_handle(), SIGINT);
  while (signals.stop() == 0 && std::chrono::steady_clock::now() < until) {
  }
  EXPECT_EQ(signals.stop(), SIGINT);
  ended.store(true, std::memory_order_relaxed);
  other.join();
}

TEST(RunSignalsDeathTest, ASecondRequestToStopEndsTheProcess) {
  std::signal(SIGINT, SIG_DFL);
  EXPECT_EXIT(
      {
        const RunSignals signals;
        std::raise(SIGINT);
        std::raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "");
}

TEST(RunSignals, WhoReadsNoMoreStopsTheRunButNeverKillsIt) {
  {
    const RunSignals signals;
    for (int line = 0; line < 3; ++line) std::raise(SIGPIPE);
    EXPECT_EQ(signals.stop(), SIGPIPE);
  }
  std::raise(SIGPIPE);
}

// nohup ignores SIGHUP; a script that starts a job with `&` ignores the SIGINT that its terminal's
// Ctrl-C sends to everyone.
TEST(RunSignals, ALostTerminalOrCtrlCStopsTheRunUnlessThatWasIgnored) {
  for (const int signal : {SIGHUP, SIGINT}) {
    std::signal(signal, SIG_DFL);
    {
      const RunSignals signals;
      std::raise(signal);
      EXPECT_EQ(signals.stop(), signal);
    }
    std::signal(signal, SIG_IGN);
    {
      const RunSignals signals;
      std::raise(signal);
      EXPECT_EQ(signals.stop(), 0);
    }
    std::raise(signal);
    std::signal(signal, SIG_DFL);
  }
}

TEST(RunSignals, AReReadThatComesLateIsIgnored) {
  { const RunSignals signals; }
  std::raise(SIGUSR1);
  const RunSignals signals;
  EXPECT_FALSE(signals.take_reread());
}

}  // namespace
}  // namespace ingot

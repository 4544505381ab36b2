#include "backends/cpu/cpu_queues.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <thread>

namespace ingot::cpu {
namespace {

// Takes so long, and no processor.
class Sleep final : public Kernel {
 public:
  explicit Sleep(int milliseconds) : milliseconds_(milliseconds) {}
  void run(const KernelArguments&, const Turn&) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds_));
  }

 private:
  int milliseconds_;
};

constexpr std::array kStarts = {1, 1, 0};

// Sleeps are never shorter than asked for, and longer by what a busy machine makes of them.
TEST(CpuQueues, MarksTellWhatAStartTookOnItsQueueAndHowLongComputeStoodStillForIt) {
  Sleep copy(40), work(10);
  CpuQueues queues(kStarts);
  queues.reserve_marks(6);
  queues.mark(kCopyIn, 0);
  const Ticket ticket = queues.enqueue(kCopyIn, copy, {}, {});
  queues.mark(kCopyIn, 1);
  queues.mark(kCompute, 2);
  queues.enqueue(kCompute, work, {}, {});
  queues.mark(kCompute, 3);
  queues.mark(kCompute, 4);
  queues.await(ticket);
  queues.mark(kCompute, 5);
  queues.synchronize();
  const double copied = queues.seconds(0, 1), worked = queues.seconds(2, 3);
  EXPECT_GE(copied, 0.04);
  EXPECT_GE(worked, 0.01);
  EXPECT_LT(worked, copied);
  EXPECT_GT(queues.seconds(4, 5), 0);
  EXPECT_LT(queues.seconds(4, 5), copied);
  EXPECT_GE(queues.seconds(2, 5), worked + queues.seconds(4, 5));
}

// Asleep it wants no core.
TEST(CpuQueues, AreQuietWhileTheirThreadDoesNotWaitForACore) {
  Sleep work(200);
  CpuQueues queues(kStarts);
  queues.reserve_marks(2);
  queues.mark(kCompute, 0);
  queues.enqueue(kCompute, work, {}, {});
  queues.mark(kCompute, 1);
  EXPECT_TRUE(queues.quiet(0, 1));
}

}  // namespace
}  // namespace ingot::cpu

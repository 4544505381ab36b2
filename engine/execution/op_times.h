// The stopwatch of ops: for profiles, calibration and benchmarks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/execution/executor.h"

namespace ingot {

// One run of an op. Of a start: what it took on its queue; of a wait: how long compute stood still.
struct OpCall {
  std::uint32_t op = 0;  // index into Program::ops()
  Queue queue = kCompute;
  double begin = 0;  // seconds since the first call
  double seconds = 0;
};

// Marks every op, while it is the executor's observer, on the queue that it runs on. One at a time
// for each executor.
class OpTimes : public OpObserver {
 public:
  explicit OpTimes(Executor& executor);

  void before(const Op& op) override;
  void after(const Op& op) override;
  // Waits for everything that was run, and has its times ready.
  void collect();

  // Until the last collect(), in the order they were given to their queues.
  std::span<const OpCall> calls() const { return calls_; }
  // Of an op's calls the fastest; infinite where it did not run.
  double fastest(std::size_t op) const { return fastest_[op]; }
  // Of compute's calls that the last collect() found: from the first one's begin to the last one's
  // end, and whether nothing else had a part of the device meanwhile (Queues::quiet()).
  double last_seconds() const { return last_seconds_; }
  bool last_quiet() const { return last_quiet_; }
  const Program& program() const { return executor_.program(); }

 private:
  Executor& executor_;
  std::vector<OpCall> calls_;
  std::size_t collected_ = 0;    // of the calls; the marks of later ones are not read yet
  std::vector<double> fastest_;  // by op
  bool started_ = false, last_quiet_ = true;
  double last_seconds_ = 0;
};

}  // namespace ingot

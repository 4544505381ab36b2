// Obeys a signal to stop between two ops of whatever is running: a micro-step, a validation, a
// sample. Only what has begun to update weights goes on to its end.
#pragma once

#include "engine/execution/executor.h"
#include "training/run/run_signals.h"

namespace ingot {

// What is thrown then. The weights are those before the step.
struct Stopped {};

class StopWatch final : public OpObserver {
 public:
  // signals must outlive this.
  explicit StopWatch(const RunSignals& signals) : signals_(signals) {}

  // Before each step, validation and sample.
  void restart() { is_updating_ = false; }

  void before(const Op& op) override {
    is_updating_ = is_updating_ || op.phase == Phase::update;
    if (!is_updating_ && signals_.stop() != 0) throw Stopped{};
  }
  void after(const Op&) override {}

 private:
  const RunSignals& signals_;
  bool is_updating_ = false;
};

}  // namespace ingot

// How long steps take: the mean since the last look, without the first steps of a process.
#pragma once

#include <chrono>
#include <cstdint>

namespace ingot {

// The first steps touch memory and caches for the first time: they are left out of averages.
inline constexpr std::int64_t kWarmupSteps = 2;

class StepTimer {
 public:
  void begin_step() { step_began_ = Clock::now(); }
  void end_step() {
    const Clock::time_point now = Clock::now();
    last_ = now - step_began_;
    if (++steps_ == kWarmupSteps) mean_began_ = now;
    if (steps_ > kWarmupSteps) ++averaged_;
  }

  // Mean of the steps since restart(), what lies between them included; the last one's own time
  // where there is nothing to average yet.
  double seconds_per_step() const {
    if (averaged_ == 0) return last_.count();
    return Seconds(Clock::now() - mean_began_).count() / static_cast<double>(averaged_);
  }
  // The last step's own.
  double last_seconds() const { return last_.count(); }
  // A new mean begins: what came since the last step is not a step's time.
  void restart() {
    mean_began_ = Clock::now();
    averaged_ = 0;
  }

  std::int64_t steps() const { return steps_; }

 private:
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;

  Clock::time_point step_began_, mean_began_;
  Seconds last_{0};
  std::int64_t steps_ = 0;
  std::int64_t averaged_ = 0;  // steps since mean_began_
};

}  // namespace ingot

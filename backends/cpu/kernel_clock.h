// The clock for measuring kernels: one thread's own time on a core, which neighbours on the machine
// hardly disturb; of several threads the wall's.
#pragma once

#include <time.h>

namespace ingot::cpu {

class KernelClock {
 public:
  // Of the calling thread when it is the only one.
  explicit KernelClock(int threads = 1)
      : clock_(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC) {}

  double seconds() const {
    timespec time{};
    clock_gettime(clock_, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

 private:
  clockid_t clock_;
};

}  // namespace ingot::cpu

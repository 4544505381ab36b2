#include "planning/machine/probe_run.h"

#include <cstdint>
#include <fstream>

namespace ingot {
namespace {

// Measured on two cores: 0.00 alone, 0.5 and more beside two compilers.
constexpr double kMostWaiting = 0.05;
// Alone 1.02 to 1.13. Beside two compilers 1.1 to 2.3: alone it would not be enough.
constexpr double kMostSpread = 1.5;

}  // namespace

bool was_quiet(const ProbeRun& run) {
  return run.waited_seconds <= kMostWaiting * run.seconds &&
         run.seconds <= kMostSpread * run.least_seconds;
}

double seconds_without_a_core() {
  // "NANOSECONDS ON A CORE, NANOSECONDS READY, TIMES SCHEDULED"
  std::ifstream file("/proc/thread-self/schedstat");
  std::int64_t ran = 0, waited = 0;
  if (!(file >> ran >> waited)) return 0;
  return static_cast<double>(waited) * 1e-9;
}

}  // namespace ingot

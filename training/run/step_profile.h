// `train --profile`: a few steps after the warm-up, timed op by op, and what is told of them.
#pragma once

#include <cstdint>
#include <string>

#include "engine/execution/profile.h"
#include "training/run/run_log.h"

namespace ingot {

struct ProfileOptions {
  MachinePeaks peaks;      // what the table compares with
  std::string trace_file;  // gets every call as a Chrome trace; empty: none
};

inline constexpr std::int64_t kProfiledSteps = 5;

class StepProfile {
 public:
  // Of a run with that many steps to come; one that is too short is profiled from an earlier step.
  // A trace file that can't be written fails here, with Error(device).
  StepProfile(Executor& executor, const ProfileOptions& options, std::int64_t steps_to_come);

  // What looks at the next step; null while the run warms up.
  OpObserver* observer();
  void end_step();
  // Steps timed so far; no more than kProfiledSteps are wanted.
  std::int64_t steps() const { return profile_.steps(); }

  // Says the table, and writes the trace if one is wanted.
  void report(const RunLog& log) const;

 private:
  ProfileOptions options_;
  std::int64_t warmup_steps_;  // still to come
  Profile profile_;
};

}  // namespace ingot

#include "training/run/step_profile.h"

#include <algorithm>

#include "io/atomic_file.h"
#include "training/steps/step_timer.h"

namespace ingot {

StepProfile::StepProfile(Executor& executor, const ProfileOptions& options,
                         std::int64_t steps_to_come)
    : options_(options),
      warmup_steps_(std::clamp<std::int64_t>(steps_to_come - 1, 0, kWarmupSteps)),
      profile_(executor) {
  if (!options_.trace_file.empty()) write_text_file(options_.trace_file, "[]");
}

OpObserver* StepProfile::observer() { return warmup_steps_ > 0 ? nullptr : &profile_; }

void StepProfile::end_step() {
  if (warmup_steps_ > 0) {
    --warmup_steps_;
  } else {
    profile_.end_step();
  }
}

void StepProfile::report(const RunLog& log) const {
  log.say("profile, mean of " + std::to_string(profile_.steps()) + " steps\n" +
          profile_table(profile_.by_kind(options_.peaks), options_.peaks));
  if (!options_.trace_file.empty()) {
    write_text_file(options_.trace_file, profile_.chrome_trace());
  }
}

}  // namespace ingot

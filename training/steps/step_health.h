// Whether training goes well: the loss scale, what counts as a spike, and when a run has diverged.
#pragma once

#include <cstdint>
#include <string>

#include "engine/config/config.h"
#include "optim/loss_scale.h"
#include "optim/recent_values.h"
#include "training/steps/trainer_state.h"
#include "training/steps/training_engine.h"

namespace ingot {

class StepHealth {
 public:
  explicit StepHealth(const RunConfig& config);

  // Before a step: sets its loss scale, and the loss and norm above which its update is skipped.
  void prepare(StepSettings& step) const;

  // Standard deviations from the recent mean; ask before the step is judged.
  double loss_z(double loss) const { return losses_.z_score(loss); }
  // After a step: what its report means for the next ones. Returns why it was skipped, for the log;
  // "" when it was not.
  const char* judge(const StepReport& report);

  // In a row, none of which a smaller loss scale could mend.
  std::int64_t nonfinite_steps() const { return skips_.nonfinite_in_a_row; }
  bool diverged() const { return skips_.nonfinite_in_a_row >= nonfinite_limit_; }
  // Likewise: no update was applied in between.
  std::int64_t spikes() const { return skips_.spikes_in_a_row; }
  bool too_many_spikes() const { return skips_.spikes_in_a_row >= spike_limit_; }
  // Of the whole run: "3 of 100 updates were skipped: 2 spikes, 1 not finite"; "" when none was.
  std::string skips_of(std::int64_t steps) const;

  // Its part of a checkpoint.
  void save_to(TrainerState& state) const;
  void restore(const TrainerState& state);

 private:
  double z_limit_;  // 0: nothing is a spike
  std::int64_t nonfinite_limit_, spike_limit_;
  LossScale loss_scale_;
  RecentValues losses_, norms_;
  SkippedSteps skips_;
};

}  // namespace ingot

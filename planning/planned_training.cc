#include "planning/planned_training.h"

#include <fmt/format.h>
#include <utility>

#include "planning/machine/calibration.h"
#include "planning/machine/disk_speed.h"

namespace ingot {

std::unique_ptr<Executor> make_executor(PlannedTraining& plan, Backend& backend) {
  return std::make_unique<Executor>(plan.compiled->program, std::move(*plan.bound),
                                    plan.memory.placement, backend, plan.offload_folder);
}

std::string doubt_prediction(const PlannedTraining& plan, const RunConfig& config,
                             const Backend& backend, double fastest_step_seconds) {
  constexpr double kContradicted = 0.5;
  if (fastest_step_seconds >= kContradicted * plan.step_seconds) return "";
  bool again = doubt_costs(config, backend);
  if (plan.memory.offload_bytes() > 0) again |= doubt_disk(plan.offload_folder);
  if (!again) return "";
  return fmt::format(
      "a step took {:.3g} s, predicted were {:.3g} s: the machine was busy when its speed was "
      "measured; the next plan measures it again",
      fastest_step_seconds, plan.step_seconds);
}

}  // namespace ingot

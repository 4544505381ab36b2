#include "training/steps/step_health.h"

#include <cmath>

namespace ingot {

StepHealth::StepHealth(const RunConfig& config)
    : z_limit_(config.spike.z_score),
      nonfinite_limit_(config.nonfinite_limit),
      spike_limit_(config.spike.limit),
      loss_scale_(config.precision.compute == ComputeType::fp16 && !config.precision.loss_scale,
                  config.precision.compute == ComputeType::fp16
                      ? config.precision.loss_scale.value_or(1)
                      : 1),
      losses_(config.spike.window),
      norms_(config.spike.window) {}

void StepHealth::prepare(StepSettings& step) const {
  step.loss_scale = static_cast<float>(loss_scale_.value());
  if (z_limit_ <= 0) return;
  step.norm_limit = static_cast<float>(norms_.limit(z_limit_));
  step.loss_limit = losses_.limit(z_limit_);
}

const char* StepHealth::judge(const StepReport& report) {
  const bool finite = std::isfinite(report.loss) && std::isfinite(report.grad_norm);
  loss_scale_.update(!std::isfinite(report.grad_norm));
  // An overflow that a smaller loss scale can mend is no divergence.
  const bool bad = !std::isfinite(report.loss) || (!finite && loss_scale_.at_minimum());
  skips_.nonfinite_in_a_row = bad ? skips_.nonfinite_in_a_row + 1 : 0;
  if (!finite) {
    if (!report.skipped) return "";
    ++skips_.nonfinite;
    return "skipped: not finite";
  }
  // What is skipped enters the window too: a run gets used to a new level of its loss.
  losses_.add(report.loss);
  norms_.add(report.grad_norm);
  skips_.spikes_in_a_row = report.skipped ? skips_.spikes_in_a_row + 1 : 0;
  if (!report.skipped) return "";
  ++skips_.spikes;
  return "skipped: spike";
}

std::string StepHealth::skips_of(std::int64_t steps) const {
  const std::int64_t skipped = skips_.spikes + skips_.nonfinite;
  if (skipped == 0) return "";
  std::string line =
      std::to_string(skipped) + " of " + std::to_string(steps) + " updates were skipped: ";
  if (skips_.spikes > 0) {
    line += std::to_string(skips_.spikes) + (skips_.spikes == 1 ? " spike" : " spikes");
    if (skips_.nonfinite > 0) line += ", ";
  }
  if (skips_.nonfinite > 0) line += std::to_string(skips_.nonfinite) + " not finite";
  return line;
}

void StepHealth::save_to(TrainerState& state) const {
  state.loss_scale = loss_scale_.state();
  state.recent_losses = losses_.state();
  state.recent_norms = norms_.state();
  state.skips = skips_;
}

void StepHealth::restore(const TrainerState& state) {
  loss_scale_.restore(state.loss_scale);
  losses_.restore(state.recent_losses);
  norms_.restore(state.recent_norms);
  skips_ = state.skips;
  // A run that ended at the limit may try again.
  if (skips_.spikes_in_a_row >= spike_limit_) skips_.spikes_in_a_row = 0;
}

}  // namespace ingot

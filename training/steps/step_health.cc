#include "training/steps/step_health.h"

#include <cmath>

namespace ingot {

StepHealth::StepHealth(const RunConfig& config)
    : z_limit_(config.spike.z_score),
      nonfinite_limit_(config.nonfinite_limit),
      loss_scale_(config.precision.compute == ComputeType::fp16 && !config.precision.loss_scale,
                  config.precision.loss_scale.value_or(1)),
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
  nonfinite_steps_ = bad ? nonfinite_steps_ + 1 : 0;
  if (report.skipped) return finite ? "skipped: spike" : "skipped: not finite";
  losses_.add(report.loss);
  norms_.add(report.grad_norm);
  return "";
}

void StepHealth::save_to(TrainerState& state) const {
  state.loss_scale = loss_scale_.state();
  state.recent_losses = losses_.state();
  state.recent_norms = norms_.state();
}

void StepHealth::restore(const TrainerState& state) {
  loss_scale_.restore(state.loss_scale);
  losses_.restore(state.recent_losses);
  norms_.restore(state.recent_norms);
}

}  // namespace ingot

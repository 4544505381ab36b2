#include "optim/schedule.h"

#include <algorithm>
#include <cmath>

namespace ingot {
namespace {

// From 1 at progress 0 to final_ratio at progress 1.
double fall(DecayShape shape, double progress, double final_ratio) {
  progress = std::clamp(progress, 0.0, 1.0);
  const double kept =
      shape == DecayShape::linear ? 1 - progress : (1 + std::cos(M_PI * progress)) / 2;
  return final_ratio + (1 - final_ratio) * kept;
}

double factor_after_warmup(const ScheduleConfig& schedule, double step) {
  const auto steps = static_cast<double>(schedule.steps);
  const auto warmup = static_cast<double>(schedule.warmup_steps);
  const double progress = (step - warmup) / std::max(1.0, steps - warmup);
  switch (schedule.type) {
    case ScheduleType::constant:
      return 1;
    case ScheduleType::linear:
      return fall(DecayShape::linear, progress, schedule.final_ratio);
    case ScheduleType::cosine:
      return fall(DecayShape::cosine, progress, schedule.final_ratio);
    case ScheduleType::wsd: {
      const double decay = schedule.decay_steps > 0 ? static_cast<double>(schedule.decay_steps)
                                                    : schedule.decay_fraction * steps;
      return fall(schedule.decay_shape, (step - (steps - decay)) / std::max(1.0, decay),
                  schedule.final_ratio);
    }
    case ScheduleType::multi_step: {
      double factor = 1;
      for (std::size_t i = 0; i < schedule.milestones.size(); ++i) {
        const double milestone = schedule.milestones[i];
        if (step >= (milestone < 1 ? milestone * steps : milestone)) factor = schedule.factors[i];
      }
      return factor;
    }
  }
  return 1;
}

}  // namespace

double learning_rate(const ScheduleConfig& schedule, double peak, std::int64_t step) {
  if (step < schedule.warmup_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps);
  }
  return peak * factor_after_warmup(schedule, static_cast<double>(step));
}

}  // namespace ingot

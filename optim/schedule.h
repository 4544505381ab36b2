// The learning rate of every step.
#pragma once

#include <cstdint>

#include "engine/config/config.h"

namespace ingot {

// Step counts from 0. During warm-up the rate rises linearly, the first update already learns, and
// `peak` is reached after warmup_steps updates; then the schedule's type decides until
// schedule.steps, and stays at its last value beyond.
double learning_rate(const ScheduleConfig& schedule, double peak, std::int64_t step);

}  // namespace ingot

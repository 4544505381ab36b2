// The planner's search (spec/memory.md G7): of all that a config leaves open, the fastest that fits
// the budget. A pure function of config, costs and budget.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/config/config.h"
#include "engine/execution/backend.h"
#include "memory/cost_model.h"
#include "planning/plan_choices.h"
#include "planning/plan_space.h"

namespace ingot {

// What a choice was found to take.
struct PlanOption {
  PlanChoices choices;
  std::int64_t arena_bytes = 0;  // least that any packing needs
  double step_seconds = 0;       // of a whole step, all micro-steps and the update
  std::int64_t offload_bytes = 0;
  bool waits_for_disk = false;  // the pages of what is offloaded do not fit memory
};

struct PlanSearchResult {
  std::vector<PlanOption> fitting;   // the best of each micro-batch and offload set, fastest first
  std::vector<PlanOption> rejected;  // the smallest of each that does not fit
};

PlanSearchResult search_plans(const RunConfig& config, Backend& backend, const CostModel& costs,
                              const PlanSpace& space);

}  // namespace ingot

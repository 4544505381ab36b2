// The planner's search (spec/memory.md G7): of all that a config leaves open, the fastest that fits
// the budget. A pure function of config, costs and budget.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/execution/backend.h"
#include "engine/execution/executor.h"
#include "memory/cost_model.h"
#include "memory/passes/activation_policy.h"
#include "planning/compile/training_program.h"

namespace ingot {

// One way to run a training step.
struct PlanChoices {
  std::int64_t micro_batch = 0;  // sequences
  // Activations of the first `dear_layers` layers are stored as if a byte cost dear_price seconds,
  // those of the others at cheap_price; a level that the config names leaves no choice.
  std::optional<ActivationLevel> level;
  double cheap_price = 0, dear_price = 0;
  int dear_layers = 0;
  OffloadSet offload = OffloadSet::none;
  OptimizerState state = OptimizerState::fp32;
  // Tokens whose logits exist at once; 0: what the prices make of it, with a level the head's rule.
  std::int64_t head_chunk = 0;
  bool pack_weights = false;  // once a step, where that saves time

  bool operator==(const PlanChoices&) const = default;
};

// Compiled by these choices, but a head chunk that the config names. costs: needed when they name
// prices.
TrainingProgram compile_chosen(const RunConfig& config, const PlanChoices& choices,
                               const CostModel* costs);

// What a choice was found to take.
struct PlanOption {
  PlanChoices choices;
  std::int64_t arena_bytes = 0;  // least that any packing needs
  double step_seconds = 0;       // of a whole step, all micro-steps and the update
};

// What to search through.
struct PlanSpace {
  std::vector<std::int64_t> batches;
  std::vector<OptimizerState> states;
  std::vector<OffloadSet> offloads;
  std::optional<ActivationLevel> level;  // the one the config names; none: any mixture
  std::int64_t arena_bytes = 0;          // the most the arena may take
};

struct PlanSearchResult {
  std::vector<PlanOption> fitting;   // the best of each micro-batch and offload set, fastest first
  std::vector<PlanOption> rejected;  // the smallest of each that does not fit
};

PlanSearchResult search_plans(const RunConfig& config, Backend& backend, const CostModel& costs,
                              const PlanSpace& space);

// Seconds of a whole step of this program.
double step_seconds(const RunConfig& config, const TrainingProgram& compiled,
                    const CostModel& costs);

}  // namespace ingot

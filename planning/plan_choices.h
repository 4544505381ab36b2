// One way to run a training step: what is chosen, the program that comes of it, and its time.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/config/config.h"
#include "memory/cost_model.h"
#include "memory/passes/activation_policy.h"
#include "planning/compile/training_program.h"

namespace ingot {

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
  int fetch_ahead = 0;        // copies of offloaded tensors that start before their use

  bool operator==(const PlanChoices&) const = default;
};

// Compiled by these choices, but a head chunk that the config names. costs: needed when they name
// prices.
TrainingProgram compile_chosen(const RunConfig& config, const PlanChoices& choices,
                               const CostModel* costs);

// Seconds of a whole step of this program.
double step_seconds(const TrainingProgram& compiled, const CostModel& costs);

// What a chunk of so many tokens of the head can be halved to, largest first.
std::vector<std::int64_t> smaller_head_chunks(std::int64_t rows);

}  // namespace ingot

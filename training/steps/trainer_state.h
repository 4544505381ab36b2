// All of a trainer that is not in tensors, and the manifest's section that keeps it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

#include "data/shards/loader.h"
#include "io/checkpoint_files.h"
#include "optim/loss_scale.h"

namespace ingot {

// Updates that were not applied: of the run so far, and those in a row that it stands behind.
struct SkippedSteps {
  std::int64_t spikes = 0, nonfinite = 0;
  std::int64_t spikes_in_a_row = 0, nonfinite_in_a_row = 0;
};

struct TrainerState {
  std::int64_t step = 0;     // of the schedule, done
  std::int64_t updates = 0;  // of these, applied
  std::int64_t tokens = 0;
  DataPosition data;
  LossScale::State loss_scale;
  std::vector<double> recent_losses, recent_norms;
  double previous_norm = 0;  // of the last finite update
  SkippedSteps skips;
};

// The section "trainer".
nlohmann::json to_json(const TrainerState& state);

// Nothing where no trainer has been: in an imported model. Throws Error(data) when it is malformed.
std::optional<TrainerState> load_trainer_state(const CheckpointReader& reader);

}  // namespace ingot

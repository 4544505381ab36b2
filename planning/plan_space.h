// What a config leaves for the planner to choose.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "engine/config/config.h"
#include "memory/passes/activation_policy.h"
#include "memory/passes/offload.h"

namespace ingot {

struct PlanSpace {
  std::vector<std::int64_t> batches;     // sequences in a micro-batch, most first
  std::vector<OptimizerState> states;    // most exact first
  std::vector<OffloadSet> offloads;      // least offloaded first
  std::optional<ActivationLevel> level;  // the one the config names; none: any mixture
  std::int64_t arena_bytes = 0;          // the most the arena may take
  // The most that what is offloaded may take.
  std::int64_t disk_bytes = std::numeric_limits<std::int64_t>::max();
};

// Without the arena's size. Micro-batches that are only larger than the fastest can be, not faster,
// are left out.
PlanSpace open_choices(const RunConfig& config);

// How many sequences a micro-batch may hold: the divisors of the global batch, largest first.
std::vector<std::int64_t> micro_batch_choices(const RunConfig& config);

}  // namespace ingot

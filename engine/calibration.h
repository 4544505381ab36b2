// How fast this machine runs each kind of op: timed once on two small models, then read from a file
// beside the user's other caches ($XDG_CACHE_HOME or ~/.cache, ingot/costs-*.json).
#pragma once

#include <filesystem>

#include "engine/backend.h"
#include "engine/config.h"
#include "memory/cost_model.h"

namespace ingot {

// Costs for ops in the config's precision and optimizer form. Measures (about a second) when there
// is no file for this device, program and precision, or it is damaged; a folder that can't be
// written only means that the next process measures again.
CostModel machine_costs(const RunConfig& config, Backend& backend);

// The same without a file.
CostModel measure_costs(const RunConfig& config, Backend& backend);

// Where machine_costs() keeps what it measured.
std::filesystem::path costs_file(const RunConfig& config, const Backend& backend);

}  // namespace ingot

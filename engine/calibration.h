// How fast this machine runs each kind of op: timed once on two small models, then read from a
// CalibrationFile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string_view>

#include "engine/backend.h"
#include "engine/config.h"
#include "memory/cost_model.h"

namespace ingot {

// Costs for ops in the config's precision and optimizer form. Measures (about two seconds) when
// there is no file for this device, program and precision, or it is damaged; a folder that can't be
// written only means that the next process measures again. Takes at most arena_bytes for a moment,
// on models that are smaller where it must: a few MiB at least.
CostModel machine_costs(const RunConfig& config, Backend& backend,
                        std::int64_t arena_bytes = std::numeric_limits<std::int64_t>::max());

// Where machine_costs() keeps what it measured with all the memory it wants.
std::filesystem::path costs_file(const RunConfig& config, const Backend& backend);

// The most FLOP a second that this device was seen to reach in this type, now or by an earlier
// process: a measurement beside busy neighbours is too low.
double best_peak_flops(const Backend& backend, std::string_view type, double measured);

}  // namespace ingot

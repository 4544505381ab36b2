// How fast this machine runs each kind of op: timed once on two small models, then read from a
// CalibrationFile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string_view>

#include "engine/config/config.h"
#include "engine/execution/backend.h"
#include "memory/cost_model.h"

namespace ingot {

// Costs for ops in the config's precision and optimizer form. Measures (two to three seconds) when
// there is no file for this device, program and precision, or it is damaged; once more, a few times
// at most, when what is there was disturbed by other work or doubted since, and keeps the faster
// times. Copies to and from a file are timed as soon as a folder takes one. A folder that can't be
// written only means that the next process measures again. Takes at most arena_bytes for a moment,
// on models that are smaller where it must: a few MiB at least. held_bytes: of them, what a run
// under way holds; it measures nothing again, and in the rest.
CostModel machine_costs(const RunConfig& config, Backend& backend,
                        std::int64_t arena_bytes = std::numeric_limits<std::int64_t>::max(),
                        std::int64_t held_bytes = 0);

// A run contradicts these costs: they were measured when the machine was busy. Whether later
// processes will measure them once more.
bool doubt_costs(const RunConfig& config, const Backend& backend);

// Where machine_costs() keeps what it measured with all the memory it wants.
std::filesystem::path costs_file(const RunConfig& config, const Backend& backend);

// The most FLOP a second that this device was seen to reach in this type, now or by an earlier
// process: a measurement beside busy neighbours is too low.
double best_peak_flops(const Backend& backend, std::string_view type, double measured);

}  // namespace ingot

// What `ingot plan` and the start of a run say about memory, as text and as JSON.
#pragma once

#include <string>
#include <vector>

#include "planning/pass_report.h"
#include "planning/planned_training.h"

namespace ingot {

// A table: parameters, arena by role, lower bound, the op at the peak, the ten largest tensors, and
// what else was looked at. Also of a plan that does not fit: what the run would need.
std::string memory_report(const PlannedTraining& plan);

// The object of docs/design.md, section 5, `ingot plan --json`; with "passes" where they were
// measured.
std::string memory_report_json(const PlannedTraining& plan,
                               const std::vector<MeasuredPass>& passes = {});

// "memory: predicted peak 1.08 MiB, actual so far 1.07 MiB", at most `size` bytes with the final
// zero. Allocates nothing.
void format_prediction_line(char* line, std::size_t size, const PlannedTraining& plan,
                            std::int64_t actual_peak_bytes);

}  // namespace ingot

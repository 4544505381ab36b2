// What each pass of compile_training() does to a program: `ingot plan --passes`.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/execution/backend.h"
#include "planning/compile/plan_record.h"

namespace ingot {

// A program between two passes.
struct ProgramSize {
  std::size_t ops = 0;
  std::int64_t least_arena_bytes = 0;  // no packing can be smaller

  bool operator==(const ProgramSize&) const = default;
};

struct MeasuredPass {
  TrainingPass pass;
  ProgramSize before, after;
};

// Compiles the recorded program once more and looks at it after each pass, in their order. The
// backend says how much its kernels want besides tensors.
std::vector<MeasuredPass> measure_passes(const RunConfig& config, const PlanRecord& record,
                                         Backend& backend);

// A table, a line a pass.
std::string pass_report(const std::vector<MeasuredPass>& passes);
// [{"name", "why", "ops": {"before", "after"}, "lower_bound_bytes": {"before", "after"}}]
nlohmann::json to_json(const std::vector<MeasuredPass>& passes);

}  // namespace ingot

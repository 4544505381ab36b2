// A training run in memory: the compiled program, its plan, what else was looked at, and the
// executor that owns the arena.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/execution/backend.h"
#include "engine/execution/executor.h"
#include "memory/plan.h"
#include "planning/compile/training_program.h"
#include "planning/plan_search.h"

namespace ingot {

// One choice the planner looked at and did not take.
struct RejectedPlan {
  PlanChoices choices;
  std::int64_t arena_bytes = 0;
  double step_seconds = 0;  // 0: not estimated
  std::string why;
};

// What another budget would change.
struct OtherBudget {
  std::int64_t budget_bytes = 0;
  std::optional<PlanOption> best;  // none: nothing fits
};

// A program with its place in memory, ready to be given that.
struct PlannedTraining {
  std::unique_ptr<TrainingProgram> compiled;  // its address is stable: executors refer to it
  std::unique_ptr<BoundProgram> bound;
  ParameterCount parameters;
  std::filesystem::path offload_folder;
  PlanChoices choices;
  MemoryPlan memory;
  std::int64_t budget_bytes = 0;
  std::int64_t process_bytes = 0;  // besides the arena: program, libraries, kernels
  // Besides both, a copy of what is saved, so that saves are written while steps go on: where the
  // run saves on its way and the budget has that left. 0: none.
  std::int64_t snapshot_bytes = 0;
  // Free on the disk of what is offloaded.
  std::int64_t disk_bytes = std::numeric_limits<std::int64_t>::max();
  double step_seconds = 0;  // predicted; 0: not estimated
  // What became of the plan that a checkpoint recorded, as a line; "" where there was none.
  std::string of_record;
  std::vector<RejectedPlan> rejected;
  std::vector<OtherBudget> other_budgets;  // 1 GiB less and more, when time was predicted

  std::int64_t predicted_peak_bytes() const {
    return memory.arena_bytes() + process_bytes + snapshot_bytes;
  }
  // The memory that has not enough; none: it fits.
  std::optional<MemoryKind> short_of() const {
    if (predicted_peak_bytes() > budget_bytes) return MemoryKind::host;
    if (memory.offload_bytes() > disk_bytes) return MemoryKind::disk;
    return std::nullopt;
  }
  bool fits() const { return !short_of(); }
};

// Gives the plan its memory. plan.compiled must outlive the executor; plan.bound is used up.
std::unique_ptr<Executor> make_executor(PlannedTraining& plan, Backend& backend);

// For the end of a run of this plan: if its fastest step took less than half of what was predicted,
// the costs behind that were measured while the machine was busy, and the next plan measures them
// again. Returns the line that says so; "" where there is nothing to say. This plan stays as it is.
std::string doubt_prediction(const PlannedTraining& plan, const RunConfig& config,
                             const Backend& backend, double fastest_step_seconds);

}  // namespace ingot

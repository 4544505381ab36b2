// A training run in memory: the compiled program, its plan, and the executor that owns the arena.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/execution/backend.h"
#include "engine/execution/executor.h"
#include "memory/plan.h"
#include "planning/compile/plan_record.h"
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

// A program that fits the budget, ready to be given memory.
struct PlannedTraining {
  std::unique_ptr<TrainingProgram> compiled;  // its address is stable: executors refer to it
  std::unique_ptr<BoundProgram> bound;
  std::filesystem::path offload_folder;
  PlanChoices choices;
  MemoryPlan memory;
  std::int64_t budget_bytes = 0;
  std::int64_t process_bytes = 0;  // resident besides the arena: program, libraries, kernels
  double step_seconds = 0;         // predicted; 0: not estimated
  std::vector<RejectedPlan> rejected;
  std::vector<OtherBudget> other_budgets;  // 1 GiB less and more, when time was predicted

  std::int64_t predicted_peak_bytes() const { return memory.arena_bytes() + process_bytes; }
};

// Where a plan starts from.
struct PlanStart {
  const PlanRecord* record = nullptr;  // taken if it fits, whatever else would
  std::int64_t held_bytes = 0;         // of an arena this process holds and will give back
  bool predict_time = false;           // also where there is nothing to choose: for `ingot plan`
  std::string system_root;             // as for read_system_memory()
};

// Compiles the fastest form of the run that fits the budget: with every activation kept as it is
// where there is room for that, else what search_plans() finds. Throws Error(budget) with the
// smallest budget that would do when nothing fits.
PlannedTraining plan_training(const RunConfig& config, Backend& backend,
                              const PlanStart& start = {});

// For the end of a run of this plan: if its fastest step took less than half of what was predicted,
// the costs behind that were measured while the machine was busy, and the next plan measures them
// again. Returns the line that says so; "" where there is nothing to say. This plan stays as it is.
std::string doubt_prediction(const PlannedTraining& plan, const RunConfig& config,
                             const Backend& backend, double fastest_step_seconds);

// What the process may take under config.memory.budget, in bytes. "auto" is the room this machine
// or control group has, less a guard of 1 % and at least 64 MiB.
// system_root: as for read_system_memory().
std::int64_t budget_bytes(const MemoryBudget& budget, const std::string& system_root = "");

// Gives the plan its memory. plan.compiled must outlive the executor; plan.bound is used up.
std::unique_ptr<Executor> make_executor(PlannedTraining& plan, Backend& backend);

}  // namespace ingot

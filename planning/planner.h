// The planner: which of all the forms that a run may take is the one to run in this memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "engine/base/error.h"
#include "engine/config/config.h"
#include "engine/execution/backend.h"
#include "planning/compile/plan_record.h"
#include "planning/planned_training.h"

namespace ingot {

// Where a plan starts from.
struct PlanStart {
  const PlanRecord* record = nullptr;  // taken if it fits, whatever else would
  std::string record_problem;          // why there is a record that nobody can read
  std::int64_t held_bytes = 0;         // of an arena this process holds and will give back
  std::int64_t held_disk_bytes = 0;    // likewise of the file of what is offloaded
  bool predict_time = false;           // also where there is nothing to choose: for `ingot plan`
  std::string system_root;             // as for read_system_memory()
};

// Compiles the fastest form of the run that fits the budget: with every activation kept as it is
// where there is room for that, in the largest micro-batch unless another is clearly faster; else
// what search_plans() finds. One config, one budget and the same costs of this machine give one
// plan. Throws DoesNotFit when nothing fits.
PlannedTraining plan_training(const RunConfig& config, Backend& backend,
                              const PlanStart& start = {});

// Error(budget) that names the memory which is short, and what would do.
class DoesNotFit : public Error {
 public:
  explicit DoesNotFit(PlannedTraining smallest);
  // The plan that takes least memory, and would fit that budget.
  const PlannedTraining& smallest() const { return *smallest_; }

 private:
  std::shared_ptr<const PlannedTraining> smallest_;  // shared: exceptions are copied
};

}  // namespace ingot

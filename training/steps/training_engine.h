// Runs steps of a compiled training program: micro-steps over batches, the update, evaluation.
// After construction nothing here allocates.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "inference/loss_sum.h"
#include "planning/planner.h"

namespace ingot {

struct StepReport {
  double loss = 0;                        // mean over the step's targets
  double mtp_loss = -1;                   // mean over modules; negative: there are none
  double auxiliary_loss = -1;             // mean balance term over routers, un-weighted
  double expert_load_max_over_mean = -1;  // of the worst router
  double grad_norm = 0;                   // before clipping
  bool skipped = false;                   // the update was not applied
};

class TrainingEngine {
 public:
  // Fills tokens and targets [batch, sequence] of the next micro-step; negative targets do not
  // count.
  using NextBatch = std::function<void(std::span<std::int32_t>, std::span<std::int32_t>)>;

  TrainingEngine(PlannedTraining plan, Backend& backend, const RunConfig& config);

  struct MicroStepLosses {
    LossSum main, mtp;
    double balance = 0;  // sum over routers
  };

  // One update over `micro_steps` batches. Uses and changes the scalars of state() that a step
  // decides (micro_step, targets, skip_update); the caller sets step, learning_rate, loss_scale and
  // weights. The update is skipped when the loss is not finite or above loss_limit.
  StepReport step(std::int64_t micro_steps, const NextBatch& next_batch,
                  double loss_limit = std::numeric_limits<double>::infinity());

  // The parts of step(), for those who look in between: prepare, each micro-step, finish.
  void prepare_step(std::int64_t micro_steps);
  MicroStepLosses micro_step(std::span<const std::int32_t> tokens,
                             std::span<const std::int32_t> targets);
  // Runs the update; fills what it decides: norm, skipped, loads.
  StepReport finish_step();

  // One batch without gradients.
  LossSum evaluate(std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets);

  StepState& state() { return state_; }
  Executor& executor() { return *executor_; }
  const TrainingProgram& compiled() const { return *plan_.compiled; }
  const PlannedTraining& plan() const { return plan_; }
  std::int64_t tokens_per_micro_step() const { return plan_.compiled->batch * sequence_; }
  std::int64_t micro_steps_per_update() const { return micro_steps_; }

 private:
  void write_inputs(const ModelInputs& inputs, std::span<const std::int32_t> tokens,
                    std::span<const std::int32_t> targets);

  PlannedTraining plan_;
  std::unique_ptr<Executor> executor_;
  std::int64_t sequence_;
  std::int64_t micro_steps_;
  StepState state_;
  std::vector<std::int32_t> tokens_, targets_, shifted_;
};

}  // namespace ingot

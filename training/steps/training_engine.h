// Runs steps of a compiled training program: micro-steps over batches, the update, evaluation. The
// host uploads what a step is told, starts the parts, and reads the report once: whether an update
// is applied is decided on the device. After construction nothing here allocates.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "inference/loss_sum.h"
#include "planning/planned_training.h"

namespace ingot {

// What the caller decides about a step.
struct StepSettings {
  std::int64_t step = 0;  // of the schedule, from 0
  double learning_rate = 0;
  float loss_scale = 1;
  // The update is skipped when the mean loss or the norm exceeds these, or is not finite.
  double loss_limit = std::numeric_limits<double>::infinity();
  float norm_limit = std::numeric_limits<float>::infinity();
  double mtp_weight = 0;        // of the loss of each multi-token-prediction module
  double balance_weight = 0;    // of the balance losses
  double bias_update_rate = 0;  // of the routers' selection bias
};

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

  // rank: of this process among those that split the batch (config.parallel.data).
  TrainingEngine(PlannedTraining plan, Backend& backend, const RunConfig& config, int rank = 0);

  // One update over `micro_steps` batches of each rank, with these settings.
  StepSettings& settings() { return settings_; }
  StepReport step(std::int64_t micro_steps, const NextBatch& next_batch);

  // The parts of step(), for those who look in between; not of a pipeline.
  void begin_step(std::int64_t micro_steps);
  void micro_step(std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets);
  StepReport finish_step();
  // Of the last micro-step.
  struct MicroStepLosses {
    LossSum main, mtp;
    double balance = 0;  // sum over routers
  };
  MicroStepLosses losses() const;
  // A named number of the step that has begun (engine/program/step_state.h).
  void set_slot(std::string_view name, double value);

  // What one update hands to the next (Program::progress).
  struct Handover {
    std::int64_t updates = 0;  // applied so far
    double previous_norm = 0;  // the last finite one; 0: none yet
    std::int64_t nonfinite_in_a_row = 0;
  };
  Handover progress() const;
  void set_progress(const Handover& progress);

  // One batch without gradients.
  LossSum evaluate(std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets);

  Executor& executor() { return *executor_; }
  const TrainingProgram& compiled() const { return *plan_.compiled; }
  const PlannedTraining& plan() const { return plan_; }
  std::int64_t tokens_per_micro_step() const { return plan_.compiled->batch * sequence_; }
  std::int64_t micro_steps_per_update() const { return micro_steps_; }

 private:
  void write_inputs(const ModelInputs& inputs, std::span<const std::int32_t> tokens,
                    std::span<const std::int32_t> targets);
  void set_schedule(Schedule schedule);
  void run_action(std::size_t action);

  PlannedTraining plan_;
  std::unique_ptr<Executor> executor_;
  std::int64_t sequence_;
  std::int64_t ranks_, rank_;  // that split the batch
  std::int64_t micro_steps_;
  StepSettings settings_;
  StepState state_;
  std::int64_t micro_steps_now_ = 1;  // of the step that has begun
  Schedule schedule_;
  std::vector<Turn> turns_;  // by action
  std::size_t next_action_ = 0;
  std::vector<std::int32_t> tokens_, targets_, shifted_;
};

}  // namespace ingot

#include "planning/compile/training_program.h"

#include <algorithm>
#include <utility>

#include "compress/passes/fuse_codes.h"
#include "compress/passes/int8_compute.h"
#include "engine/program/autodiff.h"
#include "engine/program/schedule_queues.h"
#include "memory/passes/packed_weights.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/report/report.h"
#include "optim/gradient_sums.h"

namespace ingot {
namespace {

constexpr std::int64_t kPrefillChunk = 64;

BalanceLoss balance_loss(const RunConfig& config) {
  if (config.loss.balance_weight == 0) return BalanceLoss::none;
  return config.loss.balance_type == BalanceType::batch ? BalanceLoss::batch
                                                        : BalanceLoss::sequence;
}

void store_chosen(TrainingProgram& compiled, const ChooseStorage& choose) {
  Program& program = compiled.program;
  const std::vector<SavedActivation> saved = saved_activations(program);
  const std::vector<Storage> storage = choose(program, saved);
  for (const SavedActivation& activation : saved) {
    if (storage[activation.tensor] == Storage::keep) continue;
    compiled.stored.emplace_back(activation.name, storage[activation.tensor]);
  }
  store_activations(program, saved, storage);
}

// At the end of each micro-step.
void report_losses(Program& program, const ModelLosses& losses) {
  const At backward(program, Cursor{.phase = Phase::backward});
  std::vector<ReportItem> items;
  const auto add = [&](Tensor loss, std::string_view sum, std::string_view targets) {
    items.push_back({sum, loss.slice(0, 1)});
    items.push_back({targets, loss.slice(1, 1)});
  };
  add(losses.loss, report_slot::kLoss, report_slot::kTargets);
  for (const Tensor loss : losses.mtp) {
    add(loss, report_slot::kMtpLoss, report_slot::kMtpTargets);
  }
  for (const RouterOutputs& router : losses.routers) {
    if (router.balance_loss) items.push_back({report_slot::kBalance, router.balance_loss});
  }
  report(program, items);
}

StateForm master_form(MasterType master) {
  switch (master) {
    case MasterType::fp32:
      return StateForm::f32;
    case MasterType::bf16:
      return StateForm::bf16;
    case MasterType::bf16_residual:
      return StateForm::bf16_residual;
    case MasterType::int8:
      return StateForm::int8;
  }
  return StateForm::f32;
}

std::pair<StateForm, StateForm> moment_forms(OptimizerState state) {
  switch (state) {
    case OptimizerState::fp32:
    case OptimizerState::automatic:
      return {StateForm::f32, StateForm::f32};
    case OptimizerState::bf16:
      return {StateForm::bf16, StateForm::bf16};
    case OptimizerState::int8:
      return {StateForm::dynamic8, StateForm::log8};
  }
  return {StateForm::f32, StateForm::f32};
}

}  // namespace

std::vector<std::int64_t> micro_batch_choices(const RunConfig& config) {
  if (config.batch.micro_batch) return {*config.batch.micro_batch};
  const std::int64_t sequences = config.batch.tokens_per_step / config.data.sequence_length;
  if (config.optimizer.update_in_backward) return {sequences};
  std::vector<std::int64_t> choices;
  for (std::int64_t batch = sequences; batch >= 1; --batch) {
    if (sequences % batch == 0) choices.push_back(batch);
  }
  return choices;
}

std::int64_t micro_steps(const RunConfig& config, std::int64_t batch) {
  return config.batch.tokens_per_step / (batch * config.data.sequence_length);
}

TrainingProgram compile_training(const RunConfig& config, const TrainingOptions& options) {
  const std::int64_t batch = options.batch;
  TrainingProgram result{.batch = batch, .sequence = config.data.sequence_length};
  Program& program = result.program;
  const DType dtype = storage_dtype(config.precision.compute);

  program.begin(Part::micro_step);
  Builder training(program, config.model,
                   {.batch = batch,
                    .sequence = result.sequence,
                    .dtype = dtype,
                    .master = master_form(config.precision.master),
                    .balance = balance_loss(config),
                    .learning = options.learning});
  result.inputs = model_inputs(training, /*with_mtp=*/true);
  result.losses = model_losses(training, result.inputs);
  differentiate(program);
  report_losses(program, result.losses);
  if (options.storage) store_chosen(result, options.storage);
  if (config.precision.gradient != GradientType::fp32 && !config.optimizer.update_in_backward) {
    const bool residual = config.precision.gradient == GradientType::bf16_residual;
    sum_gradients_in(program, residual ? StateForm::bf16_residual : StateForm::bf16);
  }

  std::vector<RouterUpdate> routers;
  for (const RouterOutputs& router : result.losses.routers) {
    routers.push_back({.load = router.load, .selection_bias = router.selection_bias});
  }
  const OptimizerConfig& optimizer = config.optimizer;
  const double muon_rate = optimizer.type == OptimizerType::muon && optimizer.learning_rate > 0
                               ? optimizer.muon_learning_rate / optimizer.learning_rate
                               : 0;
  const auto [first_moment, second_moment] = moment_forms(optimizer.state);
  append_update(program,
                {.beta1 = optimizer.betas[0],
                 .beta2 = optimizer.betas[1],
                 .epsilon = optimizer.epsilon,
                 .weight_decay = optimizer.weight_decay,
                 .clip_norm = optimizer.clip_norm,
                 .first_moment = first_moment,
                 .second_moment = second_moment,
                 .muon_rate = muon_rate,
                 .in_backward = optimizer.update_in_backward},
                routers);

  program.begin(Part::evaluation);
  Builder evaluation(program, config.model,
                     {.batch = batch, .sequence = result.sequence, .dtype = dtype});
  result.evaluation_inputs = model_inputs(evaluation, /*with_mtp=*/false);
  result.evaluation = model_losses(evaluation, result.evaluation_inputs);

  if (config.log.sample_every > 0) {
    const std::int64_t wanted = config.log.sample_tokens + kPrefillChunk;
    const std::int64_t capacity = std::max(config.data.sequence_length, wanted) + kPrefillChunk - 1;
    result.generation = append_generation(program, config.model,
                                          {.batch = 1,
                                           .chunk = kPrefillChunk,
                                           .capacity = capacity / kPrefillChunk * kPrefillChunk,
                                           .dtype = dtype});
  }
  mark_int8_compute(program, config.precision);
  fuse_codes(program);
  restore_weights(program);
  if (options.head_chunk > 0) set_head_chunk(program, options.head_chunk);
  result.head_chunk = head_chunk(program);
  result.offload = options.offload;
  result.state = optimizer.state;
  if (options.offload != OffloadSet::none) offload(program, options.offload);
  if (options.pack_weights) {
    result.packed_weights = pack_weights(program, micro_steps(config, batch));
  }
  schedule_queues(program, options.fetch_ahead);
  check_program(program);
  return result;
}

}  // namespace ingot

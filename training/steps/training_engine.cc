#include "training/steps/training_engine.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ingot {
namespace {

// shifted[b, i] = values[b, i + by], -1 where the sequence has ended.
void shift(std::span<const std::int32_t> values, std::int64_t sequence, std::int64_t by,
           std::span<std::int32_t> shifted) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto place = static_cast<std::int64_t>(i) % sequence + by;
    shifted[i] = place < sequence ? values[i + by] : -1;
  }
}

}  // namespace

TrainingEngine::TrainingEngine(PlannedTraining plan, Backend& backend, const RunConfig& config)
    : plan_(std::move(plan)),
      executor_(make_executor(plan_, backend)),
      sequence_(plan_.compiled->sequence),
      micro_steps_(config.batch.tokens_per_step / tokens_per_micro_step()),
      tokens_(tokens_per_micro_step()),
      targets_(tokens_per_micro_step()),
      shifted_(tokens_per_micro_step()) {
  state_.seed = static_cast<std::uint64_t>(config.seed);
}

void TrainingEngine::write_inputs(const ModelInputs& inputs, std::span<const std::int32_t> tokens,
                                  std::span<const std::int32_t> targets) {
  executor_->write(inputs.tokens, std::as_bytes(tokens));
  executor_->write(inputs.targets, std::as_bytes(targets));
  for (std::size_t i = 0; i < inputs.mtp_tokens.size(); ++i) {
    const auto depth = static_cast<std::int64_t>(i) + 1;
    shift(targets, sequence_, depth - 1, shifted_);
    executor_->write(inputs.mtp_tokens[i], std::as_bytes(std::span(shifted_)));
    shift(targets, sequence_, depth, shifted_);
    executor_->write(inputs.mtp_targets[i], std::as_bytes(std::span(shifted_)));
  }
}

void TrainingEngine::prepare_step(std::int64_t micro_steps) {
  state_.micro_steps = micro_steps;
  state_.sequences = static_cast<double>(plan_.compiled->batch * micro_steps);
  // Training data has a target for every token. The number must be known before the first backward
  // pass, so a padded batch divides by the whole number too.
  state_.target_tokens = state_.sequences * static_cast<double>(sequence_);
  for (std::size_t i = 0; i < plan_.compiled->losses.mtp.size(); ++i) {
    const std::int64_t valid = sequence_ - 1 - static_cast<std::int64_t>(i);
    state_.mtp_targets[i] =
        state_.sequences * static_cast<double>(std::max<std::int64_t>(1, valid));
  }
}

TrainingEngine::MicroStepLosses TrainingEngine::micro_step(std::span<const std::int32_t> tokens,
                                                           std::span<const std::int32_t> targets) {
  const TrainingProgram& compiled = *plan_.compiled;
  write_inputs(compiled.inputs, tokens, targets);
  executor_->run(Part::micro_step, state_);
  MicroStepLosses losses{.main = read_loss(*executor_, compiled.losses.loss)};
  for (const Tensor loss : compiled.losses.mtp) losses.mtp += read_loss(*executor_, loss);
  for (const RouterOutputs& router : compiled.losses.routers) {
    if (router.balance_loss) losses.balance += executor_->read_scalar(router.balance_loss);
  }
  return losses;
}

StepReport TrainingEngine::finish_step() {
  const UpdateOutputs& update = plan_.compiled->update;
  executor_->run(Part::update, state_);
  StepReport report;
  report.grad_norm = executor_->read_scalar(update.norm);
  report.skipped = executor_->read_scalar(update.skipped) != 0;
  if (std::isfinite(report.grad_norm)) {
    state_.previous_norm = static_cast<float>(report.grad_norm);
  }
  for (const Tensor ratio : update.load_ratios) {
    const double value = executor_->read_scalar(ratio);
    report.expert_load_max_over_mean = std::max(report.expert_load_max_over_mean, value);
  }
  return report;
}

StepReport TrainingEngine::step(std::int64_t micro_steps, const NextBatch& next_batch,
                                double loss_limit) {
  prepare_step(micro_steps);
  LossSum main, mtp;
  double balance = 0;
  for (std::int64_t micro = 0; micro < micro_steps; ++micro) {
    state_.micro_step = micro;
    next_batch(tokens_, targets_);
    const MicroStepLosses losses = micro_step(tokens_, targets_);
    main += losses.main;
    mtp += losses.mtp;
    balance += losses.balance;
  }
  state_.skip_update = !std::isfinite(main.loss) || main.mean() > loss_limit;
  StepReport report = finish_step();
  report.loss = main.mean();
  if (!plan_.compiled->losses.mtp.empty()) report.mtp_loss = mtp.mean();
  const auto routers = static_cast<double>(plan_.compiled->losses.routers.size());
  if (routers > 0) report.auxiliary_loss = balance / (routers * static_cast<double>(micro_steps));
  return report;
}

LossSum TrainingEngine::evaluate(std::span<const std::int32_t> tokens,
                                 std::span<const std::int32_t> targets) {
  write_inputs(plan_.compiled->evaluation_inputs, tokens, targets);
  executor_->run(Part::evaluation, state_);
  return read_loss(*executor_, plan_.compiled->evaluation.loss);
}

}  // namespace ingot

#include "training/steps/training_engine.h"

#include <algorithm>
#include <array>
#include <stdexcept>
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

TrainingEngine::TrainingEngine(PlannedTraining plan, Backend& backend, const RunConfig& config,
                               int rank)
    : plan_(std::move(plan)),
      executor_(make_executor(plan_, backend)),
      sequence_(plan_.compiled->sequence),
      ranks_(config.parallel.data_ranks()),
      rank_(rank),
      micro_steps_(micro_steps(config, plan_.compiled->batch)),
      tokens_(tokens_per_micro_step()),
      targets_(tokens_per_micro_step()),
      shifted_(tokens_per_micro_step()) {
  state_.seed = static_cast<std::uint64_t>(config.seed);
  set_schedule(plan_.compiled->schedule);
}

void TrainingEngine::set_schedule(Schedule schedule) {
  schedule_ = std::move(schedule);
  turns_.clear();
  for (std::size_t i = 0; i < schedule_.size(); ++i) turns_.push_back(turn_of(schedule_, i));
}

void TrainingEngine::run_action(std::size_t action) {
  const Action& now = schedule_[action];
  // Of the whole update, over all ranks; the update itself is the same on each.
  state_.micro_batch = now.part == Part::update ? 0 : now.micro_batch * ranks_ + rank_;
  executor_->run(schedule_[action], state_, turns_[action]);
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

void TrainingEngine::set_slot(std::string_view name, double value) {
  ingot::set_slot(state_, plan_.compiled->program, name, value);
}

void TrainingEngine::begin_step(std::int64_t micro_steps) {
  micro_steps_now_ = micro_steps;
  state_.step = settings_.step;
  next_action_ = 0;
  if (schedule_[0].part != Part::micro_step) {
    if (micro_steps != micro_steps_) throw std::logic_error("a pipeline runs its whole schedule");
  } else if (std::ssize(schedule_) != micro_steps + 1) {
    set_schedule(micro_step_schedule(static_cast<int>(micro_steps)));
  }
  state_.learning_rate = settings_.learning_rate;
  state_.loss_scale = settings_.loss_scale;
  state_.loss_limit = settings_.loss_limit;
  state_.norm_limit = settings_.norm_limit;
  const auto sequences = static_cast<double>(plan_.compiled->batch * micro_steps * ranks_);
  // Training data has a target for every token. The number must be known before the first backward
  // pass, so a padded batch divides by the whole number too.
  set_slot(step_slot::kLossFactor, 1 / (sequences * static_cast<double>(sequence_)));
  const auto modules = static_cast<std::int64_t>(plan_.compiled->losses.mtp.size());
  for (std::int64_t depth = 1; depth <= modules; ++depth) {
    const std::int64_t valid = std::max<std::int64_t>(1, sequence_ - depth);
    set_slot(mtp_factor_slot(depth),
             settings_.mtp_weight / (sequences * static_cast<double>(valid)));
  }
  set_slot(step_slot::kSequences, sequences);
  set_slot(step_slot::kBalanceWeight, settings_.balance_weight);
  set_slot(step_slot::kBiasRate, settings_.bias_update_rate);
}

void TrainingEngine::micro_step(std::span<const std::int32_t> tokens,
                                std::span<const std::int32_t> targets) {
  write_inputs(plan_.compiled->inputs, tokens, targets);
  run_action(next_action_++);
}

TrainingEngine::MicroStepLosses TrainingEngine::losses() const {
  const ModelLosses& compiled = plan_.compiled->losses;
  MicroStepLosses losses{.main = read_loss(*executor_, compiled.loss)};
  for (const Tensor loss : compiled.mtp) losses.mtp += read_loss(*executor_, loss);
  for (const RouterOutputs& router : compiled.routers) {
    if (router.balance_loss) losses.balance += executor_->read_scalar(router.balance_loss);
  }
  return losses;
}

StepReport TrainingEngine::finish_step() {
  run_action(schedule_.size() - 1);
  const Program& program = plan_.compiled->program;
  std::array<double, kReportSlots> reported{};
  executor_->read(program.report(), std::as_writable_bytes(std::span(reported)));
  const auto value = [&](std::string_view name, double absent) {
    const int slot = program.find_report_slot(name);
    return slot < 0 ? absent : reported[slot];
  };
  const auto mean = [&](std::string_view sum, std::string_view targets) {
    return LossSum{value(sum, 0), value(targets, 0)}.mean();
  };
  StepReport report{.loss = mean(report_slot::kLoss, report_slot::kTargets),
                    .expert_load_max_over_mean = value(report_slot::kLoad, -1),
                    .grad_norm = value(report_slot::kNorm, 0),
                    .skipped = value(report_slot::kSkipped, 0) != 0};
  if (!plan_.compiled->losses.mtp.empty()) {
    report.mtp_loss = mean(report_slot::kMtpLoss, report_slot::kMtpTargets);
  }
  const auto routers = static_cast<double>(plan_.compiled->losses.routers.size());
  if (routers > 0) {
    report.auxiliary_loss = value(report_slot::kBalance, 0) /
                            (routers * static_cast<double>(micro_steps_now_ * ranks_));
  }
  return report;
}

StepReport TrainingEngine::step(std::int64_t micro_steps, const NextBatch& next_batch) {
  begin_step(micro_steps);
  int batches = 0;
  for (std::size_t i = 0; i + 1 < schedule_.size(); ++i) {
    if (schedule_[i].micro_batch == batches) {  // its first action
      ++batches;
      next_batch(tokens_, targets_);
      executor_->select_micro_batch(schedule_[i].micro_batch);
      write_inputs(plan_.compiled->inputs, tokens_, targets_);
    }
    run_action(i);
  }
  return finish_step();
}

TrainingEngine::Handover TrainingEngine::progress() const {
  std::array<double, kProgressCount> values{};
  executor_->read(plan_.compiled->program.progress(), std::as_writable_bytes(std::span(values)));
  return {.updates = static_cast<std::int64_t>(values[kUpdates]),
          .previous_norm = values[kPreviousNorm],
          .nonfinite_in_a_row = static_cast<std::int64_t>(values[kNonfiniteInARow])};
}

void TrainingEngine::set_progress(const Handover& progress) {
  std::array<double, kProgressCount> values{};
  values[kUpdates] = static_cast<double>(progress.updates);
  values[kPreviousNorm] = progress.previous_norm;
  values[kNonfiniteInARow] = static_cast<double>(progress.nonfinite_in_a_row);
  executor_->write(plan_.compiled->program.progress(), std::as_bytes(std::span(values)));
}

LossSum TrainingEngine::evaluate(std::span<const std::int32_t> tokens,
                                 std::span<const std::int32_t> targets) {
  write_inputs(plan_.compiled->evaluation_inputs, tokens, targets);
  executor_->run(Part::evaluation, state_);
  return read_loss(*executor_, plan_.compiled->evaluation.loss);
}

}  // namespace ingot

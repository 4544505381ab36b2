#include "training/trainer.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "backends/host/system_memory.h"
#include "data/shards/dataset.h"
#include "data/shards/loader.h"
#include "engine/base/build_text.h"
#include "engine/base/error.h"
#include "engine/execution/nonfinite_hunt.h"
#include "inference/evaluation.h"
#include "io/atomic_file.h"
#include "optim/schedule.h"
#include "planning/compile/plan_record.h"
#include "planning/plan_report.h"
#include "planning/planner.h"
#include "training/run/budget_watch.h"
#include "training/run/resume_check.h"
#include "training/run/run_checkpoints.h"
#include "training/run/run_log.h"
#include "training/run/run_model.h"
#include "training/run/run_ranks.h"
#include "training/run/run_signals.h"
#include "training/run/run_tokenizer.h"
#include "training/run/stop_watch.h"
#include "training/steps/step_health.h"
#include "training/steps/step_timer.h"
#include "training/steps/trainer_state.h"
#include "training/steps/training_engine.h"
#include "weights/checkpoint.h"
#include "weights/initialize.h"
#include "weights/manifest.h"

namespace ingot {
namespace {

DatasetOptions dataset_options(const RunConfig& config, const std::vector<std::string>& patterns) {
  return {.patterns = patterns,
          .sequence_length = config.data.sequence_length,
          .vocabulary_size = static_cast<std::uint64_t>(config.model.vocab_size),
          .verify = true};
}

constexpr double kNever = std::numeric_limits<double>::infinity();

class Trainer {
 public:
  // Everything is looked at before the first byte of the arena.
  Trainer(const RunConfig& config, const TrainOptions& options, Backend& backend,
          double peak_flops);
  int run();

 private:
  PlannedTraining plan_of_all();
  void use_plan(PlannedTraining plan);
  void start();
  std::optional<BudgetChange> changed(BudgetWatch& budget, bool asked) const;
  void replan(const BudgetChange& change);
  void restore_progress();
  void step();
  void schedule_step();
  StepReport run_step();
  void log(const StepReport& report, double loss_z, const char* mark);
  [[noreturn]] void diverged();
  [[noreturn]] void end_at_spikes();
  void between_steps();
  void sample();
  void watch();
  void rounds(const RunSignals& signals);
  bool told_to_stop(const RunSignals& signals);
  void validate();
  RunCheckpoints::State state_to_save();
  std::int64_t tokens_per_step();
  bool due(std::int64_t every) const { return every > 0 && state_.step % every == 0; }

  RunRanks ranks_;
  RunConfig config_;
  TrainOptions options_;
  Backend& backend_;
  double peak_flops_;
  double flops_per_token_;
  std::int64_t last_step_;
  RunLog log_;
  std::optional<RunTokenizer> tokenizer_;
  RunCheckpoints checkpoints_;  // behind what a save under way may still read
  Dataset train_data_;
  std::optional<Dataset> validation_data_;
  std::optional<CheckpointReader> found_;  // what to resume from, until that is done
  std::optional<DataRecord> found_data_;   // what it was trained on, if it says
  std::unique_ptr<TrainingEngine> engine_;
  std::optional<Loader> loader_;
  std::optional<Evaluation> validation_;
  TrainingEngine::NextBatch next_batch_;
  TrainerState state_;
  DataRecord data_record_;
  StepHealth health_;
  StepTimer timer_;
  double fastest_step_seconds_ = kNever;  // of this plan, after the warm-up
  std::optional<StepProfile> profile_;    // until it has reported
  std::optional<StopWatch> stop_watch_;   // while the run can be stopped
  int stop_ = 0;                          // the signal that ends it
};

Trainer::Trainer(const RunConfig& config, const TrainOptions& options, Backend& backend,
                 double peak_flops)
    : ranks_(options.ranks),
      config_(config),
      options_(options),
      backend_(backend),
      peak_flops_(peak_flops),
      flops_per_token_(
          training_flops_per_token(config.model, config.data.sequence_length,
                                   /*with_mtp=*/config.model.num_nextn_predict_layers > 0)),
      last_step_(std::min(config.schedule.steps, options.steps.value_or(config.schedule.steps))),
      log_(options.quiet || !ranks_.leads()),
      checkpoints_(config, last_step_, log_),
      train_data_(dataset_options(config, config.data.train)),
      next_batch_([this](std::span<std::int32_t> tokens, std::span<std::int32_t> targets) {
        loader_->next(tokens, targets);
      }),
      health_(config) {
  if (ranks_.leads()) {
    checkpoints_.keep_others_out();
    found_ = checkpoints_.find(options.resume);
  }
  const std::string found = ranks_.from_leader(found_ ? found_->path().string() : "");
  if (!ranks_.leads() && !found.empty()) found_ = CheckpointReader::open(found);
  data_record_ = record_of(train_data_, config_);
  ranks_.require_same("the config", to_json(config).dump());
  ranks_.require_same("the data", to_json(data_record_).dump());
  if (found_) {
    if (options.model_keys) take_model_of(*found_, *options.model_keys, config_.model);
    for (const std::string& line : compare_models(*found_, config_)) log_.say(line);
    found_data_ = load_data_record(*found_);
    compare_tokenizers(*found_, found_data_, data_record_);
  }
  PlannedTraining plan = plan_of_all();
  if (ranks_.leads()) checkpoints_.require_room(plan.compiled->program);
  if (!config.data.validation.empty()) {
    validation_data_.emplace(dataset_options(config, config.data.validation));
    if (validation_data_->tokenizer_hash() != train_data_.tokenizer_hash()) {
      throw Error(ErrorCode::data, "validation data were made with another tokenizer",
                  config.data.validation.front(), "prepare them with that of data.train");
    }
  }
  tokenizer_.emplace(config_, found_ ? &*found_ : nullptr, train_data_.tokenizer_hash());
  if (!found_ && options.model_keys) {
    const std::string line =
        settle_fresh_model(tokenizer_->tokenizer(), train_data_, *options.model_keys, config_);
    if (!line.empty()) log_.say(line);
  }
  // Nothing is refused any more but memory: the file of what is offloaded may lie there.
  create_folder(config.checkpoint.directory);
  use_plan(std::move(plan));
  if (config.log.sample_every > 0) {
    const std::string line =
        tokenizer_->check_sample(config, engine_->compiled().generation->options.capacity);
    if (!line.empty()) log_.say(line);
  }
}

// Rank 0 plans, and all others take the same.
PlannedTraining Trainer::plan_of_all() {
  const auto plan = [this](const RecordedPlan& recorded) {
    return plan_training(config_, backend_,
                         {.record = recorded.record ? &*recorded.record : nullptr,
                          .record_problem = recorded.problem,
                          .system_root = options_.system_root});
  };
  if (ranks_.leads()) {
    PlannedTraining mine = plan(found_ ? load_plan_record(*found_) : RecordedPlan{});
    ranks_.from_leader(to_json(record_of(*mine.compiled)).dump());
    return mine;
  }
  const std::string where = "rank " + std::to_string(ranks_.rank());
  const auto json = nlohmann::json::parse(ranks_.from_leader(""));
  const PlanRecord record = parse_plan_record(json, where);
  PlannedTraining mine = plan({.record = record});
  if (record_of(*mine.compiled) == record) return mine;
  throw Error(ErrorCode::budget, "the plan of rank 0 does not fit here", where,
              "give each rank the memory that \"ingot plan\" names, see memory.budget");
}

// Gives a plan its memory, and everything the size of its micro-batch.
void Trainer::use_plan(PlannedTraining plan) {
  engine_ = std::make_unique<TrainingEngine>(std::move(plan), backend_, config_, ranks_.rank());
  if (ranks_.leads()) checkpoints_.use(engine_.get());
  fastest_step_seconds_ = kNever;
  loader_.emplace(train_data_, LoaderOptions{.micro_batch = engine_->compiled().batch,
                                             .rank = ranks_.rank(),
                                             .world = ranks_.size(),
                                             .seed = static_cast<std::uint64_t>(config_.seed)});
  if (validation_data_ && ranks_.leads()) {
    validation_.emplace(
        *validation_data_, engine_->compiled().batch, config_.data.validation_sequences(),
        [this](auto tokens, auto targets) { return engine_->evaluate(tokens, targets); });
  }
}

void Trainer::restore_progress() {
  engine_->set_progress({.updates = state_.updates, .previous_norm = state_.previous_norm});
}

// Weights and state, from a checkpoint or fresh.
void Trainer::start() {
  if (found_) {
    const std::optional<TrainerState> state = load_trainer_state(*found_);
    const RunConfig then = config_of_checkpoint(*found_);
    const bool same_rule = !state || then.optimizer.type == config_.optimizer.type;
    load_checkpoint(*found_, engine_->executor(), {}, same_rule ? Moments::saved : Moments::none);
    if (state) {
      state_ = *state;
      if (!same_rule) state_.updates = 0;  // of its averages
      health_.restore(state_);
      restore_progress();
    }
    log_.say("resumed from " + found_->path().string());
    if (state) {
      for (const std::string& line : changed_settings(then, config_)) log_.say(line);
    }
    if (found_data_) {
      const ResumedPosition resumed = resumed_position(*found_data_, state_.data, data_record_);
      state_.data = resumed.position;
      if (!resumed.line.empty()) log_.say(resumed.line);
    }
    found_.reset();
  } else {
    initialize_weights(engine_->executor(), static_cast<std::uint64_t>(config_.seed),
                       options_.threads);
  }
  loader_->seek(state_.data);
  if (ranks_.leads()) {
    log_.open_metrics(config_.checkpoint.directory, state_.step,
                      {.build = build_text(),
                       .backend = backend_.traits().name,
                       .tensorboard = config_.log.tensorboard});
  }
  if (options_.profile) {
    profile_.emplace(engine_->executor(), *options_.profile, last_step_ - state_.step);
  }
}

std::int64_t Trainer::tokens_per_step() {
  return engine_->micro_steps_per_update() * engine_->tokens_per_micro_step() * ranks_.size();
}

void Trainer::schedule_step() {
  StepSettings& step = engine_->settings();
  const LossConfig& loss = config_.loss;
  step.step = state_.step;
  step.learning_rate =
      learning_rate(config_.schedule, config_.optimizer.learning_rate, state_.step);
  const auto modules = static_cast<double>(engine_->compiled().losses.mtp.size());
  step.mtp_weight = modules > 0 ? loss.mtp_weight.at(state_.step) / modules : 0;
  step.balance_weight = loss.balance_weight;
  const bool frozen = loss.bias_update_until > 0 && state_.tokens >= loss.bias_update_until;
  step.bias_update_rate = frozen ? 0 : loss.bias_update_rate;
  health_.prepare(step);
}

StepReport Trainer::run_step() {
  watch();
  if (profile_ && profile_->observer()) engine_->executor().set_observer(profile_->observer());
  const StepReport report = engine_->step(engine_->micro_steps_per_update(), next_batch_);
  if (profile_) profile_->end_step();
  return report;
}

void Trainer::step() {
  timer_.begin_step();
  schedule_step();
  const StepReport report = run_step();
  ++state_.step;
  state_.tokens += tokens_per_step();
  const double loss_z = health_.loss_z(report.loss);
  const char* const mark = health_.judge(report);
  timer_.end_step();
  if (timer_.steps() > kWarmupSteps && !report.skipped) {
    fastest_step_seconds_ = std::min(fastest_step_seconds_, timer_.last_seconds());
  }
  if (due(std::max<std::int64_t>(1, config_.log.every)) || state_.step == last_step_ ||
      *mark != 0 || timer_.steps() == 1) {
    log(report, loss_z, mark);
  }
  if (health_.diverged()) diverged();
  state_.data = loader_->position();
  if (health_.too_many_spikes()) end_at_spikes();
}

void Trainer::log(const StepReport& report, double loss_z, const char* mark) {
  if (!ranks_.leads()) return timer_.restart();
  StepMetrics m;
  m.step = state_.step;
  m.steps = config_.schedule.steps;
  m.loss = report.loss;
  m.loss_z = loss_z;
  m.grad_norm = report.grad_norm;
  m.learning_rate = engine_->settings().learning_rate;
  m.tokens = state_.tokens;
  m.step_seconds = timer_.seconds_per_step();
  m.tokens_per_second = static_cast<double>(tokens_per_step()) / m.step_seconds;
  m.mfu = peak_flops_ > 0 ? m.tokens_per_second * flops_per_token_ / peak_flops_ : 0;
  m.arena_bytes = engine_->executor().arena_bytes();
  m.peak_rss_bytes = peak_resident_bytes();
  m.budget_bytes = engine_->plan().budget_bytes;
  m.loss_scale = engine_->settings().loss_scale;
  m.expert_load_max_over_mean = report.expert_load_max_over_mean;
  m.auxiliary_loss = report.auxiliary_loss;
  m.mtp_loss = report.mtp_loss;
  m.remaining_seconds = static_cast<double>(last_step_ - state_.step) * m.step_seconds;
  m.mark = mark;
  log_.step(m);
  timer_.restart();
}

void Trainer::diverged() {
  // The weights are those that the step began with: run it again and look at every op.
  NonfiniteHunt hunt(engine_->executor());
  engine_->executor().set_observer(&hunt);
  loader_->seek(state_.data);
  engine_->step(engine_->micro_steps_per_update(), next_batch_);
  engine_->executor().set_observer(nullptr);
  throw Error(ErrorCode::diverged,
              "loss or gradient norm not finite for " + std::to_string(health_.nonfinite_steps()) +
                  " steps in a row, first in " + hunt.found(),
              "step " + std::to_string(state_.step),
              "lower optimizer.learning_rate or resume from an earlier checkpoint");
}

// The weights are good, they are from before the first of these steps: what is lost is their data.
void Trainer::end_at_spikes() {
  if (ranks_.leads()) checkpoints_.save(state_to_save());
  ranks_.most(0);  // nobody ends the others before the save is there
  log_.say(health_.skips_of(state_.step));
  throw Error(ErrorCode::diverged,
              "loss or gradient norm a spike for " + std::to_string(health_.spikes()) +
                  " steps in a row, which were skipped; saved",
              "step " + std::to_string(state_.step),
              "look at the data, raise spike.z_score or spike.limit, or resume from an earlier "
              "checkpoint with a lower optimizer.learning_rate");
}

// What runs from here on stops at a signal. Ranks stop together, between steps.
void Trainer::watch() {
  if (!ranks_.alone()) return;
  stop_watch_->restart();
  engine_->executor().set_observer(&*stop_watch_);
}

void Trainer::sample() {
  watch();
  log_.say("--- sample at step " + std::to_string(state_.step) + "\n" +
           tokenizer_->sample(*engine_, config_, state_.step) + "\n---");
}

void Trainer::validate() {
  if (!validation_) return;
  watch();
  log_.validation(state_.step, validation_->losses().mean());
}

RunCheckpoints::State Trainer::state_to_save() {
  health_.save_to(state_);
  const TrainingEngine::Handover progress = engine_->progress();
  state_.updates = progress.updates;
  state_.previous_norm = progress.previous_norm;
  return {state_, data_record_, config_, tokenizer_->files()};
}

// Goes on with the same weights, data and schedule in another amount of memory. Two arenas may be
// more than there is, so the state goes through a checkpoint.
void Trainer::replan(const BudgetChange& change) {
  RunConfig config = config_;
  config.memory.budget = change.budget;
  std::optional<PlannedTraining> plan;
  try {
    plan = plan_training(
        config, backend_,
        {.held_bytes = engine_->executor().arena_bytes() + checkpoints_.snapshot_bytes(),
         .held_disk_bytes = engine_->plan().memory.offload_bytes(),
         .system_root = options_.system_root});
  } catch (const Error& error) {
    checkpoints_.save(state_to_save());  // nothing is lost, whatever becomes of the old plan
    // The system kills what exceeds its limit: better to leave, and to say why.
    if (change.lowered_limit && engine_->plan().predicted_peak_bytes() > *change.lowered_limit) {
      throw Error(error.code(),
                  "the limit on memory was lowered, saved at step " + std::to_string(state_.step) +
                      ": " + error.problem(),
                  error.where(), error.mend());
    }
    log_.say("warning: the memory budget changed, but " + std::string(error.what()) +
             "; the run goes on with its old plan");
    return;
  }
  log_.say("the memory budget changed; so far:\n" + memory_report(engine_->plan()));
  try {
    checkpoints_.save(state_to_save());
  } catch (const Error& error) {
    if (error.code() != ErrorCode::device) throw;
    log_.say("warning: the state cannot be saved, " + std::string(error.what()) +
             "; the run goes on with its old plan");
    return;
  }
  profile_.reset();  // it looks at the old program
  validation_.reset();
  checkpoints_.use(nullptr);
  engine_.reset();
  config_ = std::move(config);
  use_plan(std::move(*plan));
  {
    const CheckpointReader saved = CheckpointReader::open(checkpoints_.path_of(state_.step));
    load_checkpoint(saved, engine_->executor());
  }
  restore_progress();
  loader_->seek(state_.data);
  log_.say("from step " + std::to_string(state_.step) + ":\n" + memory_report(engine_->plan()));
}

// Whatever is due besides the next step. Its time is not a step's.
void Trainer::between_steps() {
  if (!ranks_.leads()) return;
  if (timer_.steps() == 1) {
    char line[128];
    format_prediction_line(line, sizeof line, engine_->plan(), peak_resident_bytes());
    log_.say(line);
  }
  const bool profiled = profile_ && profile_->steps() == kProfiledSteps;
  const bool validating = due(config_.log.validate_every);
  const bool sampling = due(config_.log.sample_every);
  checkpoints_.look();
  const bool saving = due(config_.checkpoint.every) || checkpoints_.is_retry_due();
  if (profiled) {
    profile_->report(log_);
    profile_.reset();
  }
  if (validating) validate();
  if (sampling) sample();
  if (saving) checkpoints_.begin_save(state_to_save());
  if (profiled || validating || sampling || saving) timer_.restart();
}

// A config that is being edited must not end the run that it belongs to.
std::optional<BudgetChange> Trainer::changed(BudgetWatch& budget, bool asked) const {
  try {
    return budget.changed(asked);
  } catch (const Error& error) {
    log_.say("warning: asked to read memory.budget again, but " + std::string(error.what()) +
             "; the run goes on as it was");
    return std::nullopt;
  }
}

// By a signal to this rank, or to any other; after it all know.
bool Trainer::told_to_stop(const RunSignals& signals) {
  stop_ = static_cast<int>(ranks_.most(signals.stop()));
  return stop_ != 0;
}

// To the end of the run, or until a signal comes. Throws Stopped where that came within something.
void Trainer::rounds(const RunSignals& signals) {
  BudgetWatch budget(config_.memory.budget, options_.reread_budget, options_.system_root);
  // The run before was stopped in the middle of it.
  const bool missed = ranks_.leads() && state_.step > 0 && due(config_.log.validate_every) &&
                      log_.validated() < state_.step;
  if (missed && state_.step < last_step_) validate();
  while (state_.step < last_step_ && !told_to_stop(signals)) {
    step();
    between_steps();
    if (!ranks_.alone()) continue;
    if (const auto change = changed(budget, signals.take_reread())) {
      replan(*change);
      timer_.restart();
    }
  }
  if (profile_ && profile_->steps() > 0) profile_->report(log_);  // a run that ended earlier
  const bool ended = stop_ == 0 && timer_.steps() > 0;
  if (ended && config_.log.validate_every > 0 && !due(config_.log.validate_every)) validate();
}

int Trainer::run() {
  const RunSignals signals;
  stop_watch_.emplace(signals);
  if (ranks_.leads()) {
    create_folder(config_.checkpoint.directory);
    checkpoints_.keep_others_out();
  }
  start();
  log_.say(memory_report(engine_->plan()));
  try {
    rounds(signals);
  } catch (const Stopped&) {  // the weights are those between two steps
    stop_ = signals.stop();
  }
  if (ranks_.leads()) checkpoints_.save(state_to_save());
  ranks_.most(0);  // nobody leaves before the last save is there
  const int result = stop_ == 0 || stop_ == SIGUSR2 ? 0 : 128 + stop_;
  if (!ranks_.leads()) return result;
  const std::string skips = health_.skips_of(state_.step);
  if (!skips.empty()) log_.say(skips);
  const std::string doubt =
      doubt_prediction(engine_->plan(), config_, backend_, fastest_step_seconds_);
  if (!doubt.empty()) log_.say(doubt);
  return result;
}

}  // namespace

int train(const RunConfig& config, const TrainOptions& options, Backend& backend,
          double peak_flops) {
  return Trainer(config, options, backend, peak_flops).run();
}

}  // namespace ingot

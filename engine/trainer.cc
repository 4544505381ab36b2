#include "engine/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "data/loader.h"
#include "data/tokenizer.h"
#include "engine/budget_watch.h"
#include "engine/checkpoint.h"
#include "engine/error.h"
#include "engine/generator.h"
#include "engine/initialize.h"
#include "engine/metrics.h"
#include "engine/nonfinite_hunt.h"
#include "engine/plan_report.h"
#include "engine/profile.h"
#include "engine/stop_signal.h"
#include "engine/training_engine.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "memory/system_memory.h"
#include "optim/loss_scale.h"
#include "optim/recent_values.h"
#include "optim/schedule.h"

namespace ingot {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The first steps touch memory and caches for the first time: they are left out of averages.
constexpr std::int64_t kWarmupSteps = 2;
constexpr std::int64_t kProfiledSteps = 5;

std::filesystem::path tokenizer_path(const RunConfig& config) {
  if (!config.data.tokenizer.empty()) return config.data.tokenizer;
  return std::filesystem::path(config.data.train.front()).parent_path() / "tokenizer.json";
}

std::string read_text(const std::filesystem::path& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

class Trainer {
 public:
  Trainer(const RunConfig& config, const TrainOptions& options, Backend& backend,
          double peak_flops);
  int run();

 private:
  void find_checkpoint();
  void use_plan(PlannedTraining plan);
  void start();  // weights and state from a checkpoint, or fresh
  void replan(const BudgetChange& change);
  void step();
  void schedule_step();
  StepReport run_step(double loss_limit);
  void report_profile();
  void judge(const StepReport& report);
  void log(const StepReport& report, double loss_z, double seconds);
  void diverged();
  void validate();
  void sample();
  void save();
  void say(std::string_view line) const;

  RunConfig config_;
  TrainOptions options_;
  Backend& backend_;
  double peak_flops_;
  std::int64_t last_step_;
  std::filesystem::path directory_;
  Dataset train_data_;
  std::unique_ptr<Dataset> validation_data_;
  std::optional<Tokenizer> tokenizer_;
  std::string tokenizer_json_;
  std::optional<CheckpointReader> found_;  // what to resume from, until that is done
  std::unique_ptr<TrainingEngine> engine_;
  std::optional<Loader> loader_;
  TrainingEngine::NextBatch next_batch_;
  std::optional<MetricsLog> metrics_;
  TrainerState state_;
  LossScale loss_scale_;
  RecentValues recent_losses_, recent_norms_;
  std::int64_t nonfinite_steps_ = 0;
  std::int64_t saved_step_ = -1;
  double flops_per_token_;
  Clock::time_point timing_start_;
  std::int64_t timed_steps_ = 0;    // since timing_start_, warm-up left out
  std::int64_t steps_here_ = 0;     // of this process
  std::optional<Profile> profile_;  // while --profile looks
  std::int64_t profile_start_ = 0;  // steps of this process before the first that it times
  std::vector<std::int32_t> tokens_, targets_;
  const char* mark_ = "";
};

DatasetOptions dataset_options(const RunConfig& config, const std::vector<std::string>& patterns) {
  return {.patterns = patterns,
          .sequence_length = config.data.sequence_length,
          .vocabulary_size = static_cast<std::uint64_t>(config.model.vocab_size)};
}

// How many more checkpoints will stand in the directory at once: a new one is there before the
// oldest goes.
std::int64_t checkpoints_to_come(const RunConfig& config) {
  const auto& [directory, every, keep] = config.checkpoint;
  const std::int64_t saves = every > 0 ? (config.schedule.steps + every - 1) / every : 1;
  const std::int64_t most = keep > 0 ? std::min(saves, keep + 1) : saves;
  const auto there = static_cast<std::int64_t>(CheckpointReader::list(directory).size());
  return std::max<std::int64_t>(1, most - there);
}

// Everything is looked at before the first byte of the arena: a run that would fail at its first
// save fails here.
PlannedTraining checked_plan(const RunConfig& config, Backend& backend, const PlanStart& start) {
  PlannedTraining plan = plan_training(config, backend, start);
  const std::int64_t copies = checkpoints_to_come(config);
  require_free_space(config.checkpoint.directory,
                     checkpoint_bytes(plan.compiled->program) * static_cast<std::uint64_t>(copies),
                     copies == 1 ? "a checkpoint" : std::to_string(copies) + " checkpoints");
  return plan;
}

Trainer::Trainer(const RunConfig& config, const TrainOptions& options, Backend& backend,
                 double peak_flops)
    : config_(config),
      options_(options),
      backend_(backend),
      peak_flops_(peak_flops),
      last_step_(std::min(config.schedule.steps, options.steps.value_or(config.schedule.steps))),
      directory_(config.checkpoint.directory),
      train_data_(dataset_options(config, config.data.train)),
      next_batch_([this](std::span<std::int32_t> tokens, std::span<std::int32_t> targets) {
        loader_->next(tokens, targets);
      }),
      loss_scale_(config.precision.compute == ComputeType::fp16 && !config.precision.loss_scale,
                  config.precision.loss_scale.value_or(1)),
      recent_losses_(config.spike.window),
      recent_norms_(config.spike.window),
      flops_per_token_(
          training_flops_per_token(config.model, config.data.sequence_length,
                                   /*with_mtp=*/config.model.num_nextn_predict_layers > 0)) {
  find_checkpoint();
  const std::optional<PlanRecord> record = found_ ? load_plan_record(*found_) : std::nullopt;
  use_plan(
      checked_plan(config, backend,
                   {.record = record ? &*record : nullptr, .system_root = options.system_root}));
  if (!config.data.validation.empty()) {
    validation_data_ = std::make_unique<Dataset>(dataset_options(config, config.data.validation));
  }
  const std::filesystem::path tokenizer = tokenizer_path(config);
  if (std::filesystem::exists(tokenizer)) {
    tokenizer_json_ = read_text(tokenizer);
    tokenizer_ = Tokenizer::parse(tokenizer_json_, tokenizer.string());
    if (tokenizer_->hash() != train_data_.tokenizer_hash()) {
      throw Error(ErrorCode::data, "the tokenizer is not the one that made the training data",
                  tokenizer.string(), "set data.tokenizer, or prepare the data again");
    }
  } else if (config.log.sample_every > 0) {
    throw Error(ErrorCode::data, "samples need a tokenizer, and there is none", tokenizer.string(),
                "set data.tokenizer, or log.sample_every to 0");
  }
}

void Trainer::say(std::string_view line) const {
  if (options_.quiet) return;
  std::fprintf(stdout, "%.*s\n", static_cast<int>(line.size()), line.data());
  std::fflush(stdout);
}

// Gives a plan its memory, and everything the size of its micro-batch.
void Trainer::use_plan(PlannedTraining plan) {
  engine_ = std::make_unique<TrainingEngine>(std::move(plan), backend_, config_);
  loader_.emplace(train_data_, LoaderOptions{.micro_batch = engine_->compiled().batch,
                                             .seed = static_cast<std::uint64_t>(config_.seed)});
  tokens_.resize(engine_->tokens_per_micro_step());
  targets_.resize(engine_->tokens_per_micro_step());
}

void Trainer::find_checkpoint() {
  if (options_.resume == "auto") {
    found_ = CheckpointReader::find_newest_good(
        directory_, [this](const std::string& name, const std::string& reason) {
          say("damaged checkpoint " + name + " passed over: " + reason);
        });
    if (found_ || CheckpointReader::list(directory_).empty()) return;
    throw Error(ErrorCode::data, "every checkpoint of this run is damaged", directory_.string(),
                "remove them to start again, or name another with --resume");
  }
  if (options_.resume != "none") {
    found_ = CheckpointReader::open(options_.resume);
  } else if (!CheckpointReader::list(directory_).empty()) {
    throw Error(ErrorCode::usage, "there are checkpoints of an earlier run", directory_.string(),
                "use --resume auto to go on with it, or another checkpoint.directory");
  }
}

void Trainer::start() {
  if (found_) {
    load_checkpoint(*found_, engine_->executor());
    state_ = load_trainer_state(*found_);
    say("resumed from " + found_->path().string());
    if (options_.resume == "auto") saved_step_ = state_.step;
    found_.reset();
  } else {
    initialize_weights(engine_->executor(), static_cast<std::uint64_t>(config_.seed),
                       options_.threads);
    state_.loss_scale = loss_scale_.state();
  }
  loss_scale_.restore(state_.loss_scale);
  recent_losses_.restore(state_.recent_losses);
  recent_norms_.restore(state_.recent_norms);
  loader_->seek(state_.data);
  metrics_.emplace(directory_, state_.step);
  if (options_.profile) {
    profile_.emplace(engine_->compiled().program);
    const std::string& file = options_.profile->trace_file;
    if (!file.empty()) write_text_file(file, "[]");  // one that can't be written fails now
    const std::int64_t to_come = last_step_ - state_.step;
    profile_start_ = std::clamp<std::int64_t>(to_come - 1, 0, kWarmupSteps);
  }
}

void Trainer::schedule_step() {
  StepState& step = engine_->state();
  const LossConfig& loss = config_.loss;
  step.step = state_.step;
  step.updates = state_.updates;
  step.previous_norm = state_.previous_norm;
  step.learning_rate =
      learning_rate(config_.schedule, config_.optimizer.learning_rate, state_.step);
  step.loss_scale = static_cast<float>(loss_scale_.value());
  const auto modules = static_cast<double>(engine_->compiled().losses.mtp.size());
  step.mtp_weight = modules > 0 ? loss.mtp_weight.at(state_.step) / modules : 0;
  step.balance_weight = loss.balance_weight;
  const bool frozen = loss.bias_update_until > 0 && state_.tokens >= loss.bias_update_until;
  step.bias_update_rate = frozen ? 0 : loss.bias_update_rate;
  step.norm_limit = config_.spike.z_score > 0
                        ? static_cast<float>(recent_norms_.limit(config_.spike.z_score))
                        : std::numeric_limits<float>::infinity();
}

// What the report means for the scale, the spike window and the run's health.
void Trainer::judge(const StepReport& report) {
  state_.previous_norm = engine_->state().previous_norm;
  const bool finite = std::isfinite(report.loss) && std::isfinite(report.grad_norm);
  loss_scale_.update(!std::isfinite(report.grad_norm));
  if (report.skipped) {
    mark_ = finite ? "skipped: spike" : "skipped: not finite";
  } else {
    ++state_.updates;
    recent_losses_.add(report.loss);
    recent_norms_.add(report.grad_norm);
  }
  // An overflow that a smaller loss scale can mend is no divergence.
  const bool bad = !std::isfinite(report.loss) || (!finite && loss_scale_.at_minimum());
  nonfinite_steps_ = bad ? nonfinite_steps_ + 1 : 0;
}

void Trainer::diverged() {
  // The weights are those that the step began with: run it again and look at every op.
  NonfiniteHunt hunt(engine_->executor());
  engine_->executor().set_observer(&hunt);
  loader_->seek(state_.data);
  engine_->step(engine_->micro_steps_per_update(), next_batch_);
  engine_->executor().set_observer(nullptr);
  throw Error(ErrorCode::diverged,
              "loss or gradient norm not finite for " + std::to_string(nonfinite_steps_) +
                  " steps in a row, first in " + hunt.found(),
              "step " + std::to_string(state_.step),
              "lower optimizer.learning_rate or resume from an earlier checkpoint");
}

StepReport Trainer::run_step(double loss_limit) {
  const bool profiled = profile_ && steps_here_ >= profile_start_;
  if (profiled) engine_->executor().set_observer(&*profile_);
  const StepReport report =
      engine_->step(engine_->micro_steps_per_update(), next_batch_, loss_limit);
  engine_->executor().set_observer(nullptr);
  if (profiled) profile_->end_step();
  return report;
}

void Trainer::report_profile() {
  const MachinePeaks& peaks = options_.profile->peaks;
  say("profile, mean of " + std::to_string(profile_->steps()) + " steps\n" +
      profile_table(profile_->by_kind(peaks), peaks));
  const std::string& file = options_.profile->trace_file;
  if (!file.empty()) write_text_file(file, profile_->chrome_trace());
  profile_.reset();
}

void Trainer::step() {
  const Clock::time_point start = Clock::now();
  mark_ = "";
  schedule_step();
  const double loss_limit = config_.spike.z_score > 0 ? recent_losses_.limit(config_.spike.z_score)
                                                      : std::numeric_limits<double>::infinity();
  const StepReport report = run_step(loss_limit);
  ++state_.step;
  ++steps_here_;
  state_.tokens += engine_->micro_steps_per_update() * engine_->tokens_per_micro_step();
  const double z = recent_losses_.z_score(report.loss);
  judge(report);
  const double seconds = seconds_since(start);
  if (steps_here_ == kWarmupSteps) {
    timing_start_ = Clock::now();
  } else if (steps_here_ > kWarmupSteps) {
    ++timed_steps_;
  }
  const bool last = state_.step == last_step_;
  const bool due = state_.step % std::max<std::int64_t>(1, config_.log.every) == 0;
  if (due || last || *mark_ != 0 || steps_here_ == 1) log(report, z, seconds);
  if (nonfinite_steps_ >= config_.nonfinite_limit) diverged();
  state_.data = loader_->position();
}

void Trainer::log(const StepReport& report, double loss_z, double seconds) {
  const std::int64_t tokens = engine_->micro_steps_per_update() * engine_->tokens_per_micro_step();
  // Mean since the last line; one step's own time where there is nothing to average yet.
  const double each =
      timed_steps_ > 0 ? seconds_since(timing_start_) / static_cast<double>(timed_steps_) : seconds;
  StepMetrics m;
  m.step = state_.step;
  m.steps = config_.schedule.steps;
  m.loss = report.loss;
  m.loss_z = loss_z;
  m.grad_norm = report.grad_norm;
  m.learning_rate = engine_->state().learning_rate;
  m.tokens = state_.tokens;
  m.step_seconds = each;
  m.tokens_per_second = static_cast<double>(tokens) / each;
  m.mfu = peak_flops_ > 0 ? m.tokens_per_second * flops_per_token_ / peak_flops_ : 0;
  m.arena_bytes = engine_->executor().arena_bytes();
  m.peak_rss_bytes = peak_resident_bytes();
  m.budget_bytes = engine_->plan().budget_bytes;
  m.loss_scale = engine_->state().loss_scale;
  m.expert_load_max_over_mean = report.expert_load_max_over_mean;
  m.auxiliary_loss = report.auxiliary_loss;
  m.mtp_loss = report.mtp_loss;
  m.remaining_seconds = static_cast<double>(last_step_ - state_.step) * each;
  m.mark = mark_;
  metrics_->step(m);
  if (!options_.quiet) {
    char line[256];
    format_console_line(line, sizeof line, m);
    std::puts(line);
    std::fflush(stdout);
  }
  if (timed_steps_ > 0) {
    timing_start_ = Clock::now();
    timed_steps_ = 0;
  }
}

void Trainer::validate() {
  if (!validation_data_) return;
  const SequentialBatches batches(*validation_data_, {.micro_batch = engine_->compiled().batch},
                                  config_.data.validation_batches);
  TrainingEngine::LossSum sum;
  for (std::int64_t i = 0; i < batches.count(); ++i) {
    batches.read(i, tokens_, targets_);
    const TrainingEngine::LossSum batch = engine_->evaluate(tokens_, targets_);
    sum.loss += batch.loss;
    sum.targets += batch.targets;
  }
  const double loss = sum.loss / std::max(1.0, sum.targets);
  metrics_->validation(state_.step, loss);
  char line[128];
  std::snprintf(line, sizeof line, "step %lld | validation loss %.4f | perplexity %.2f",
                static_cast<long long>(state_.step), loss, std::exp(loss));
  say(line);
}

void Trainer::sample() {
  std::string prompt = config_.log.sample_prompt;
  std::vector<std::int32_t> ids;
  for (const std::uint32_t id : tokenizer_->encode(prompt)) {
    ids.push_back(static_cast<std::int32_t>(id));
  }
  if (ids.empty()) ids.push_back(0);
  Generator generator(engine_->executor(), *engine_->compiled().generation,
                      config_.model.vocab_size);
  Sampler sampler({.temperature = 0.8,
                   .top_p = 0.95,
                   .seed = static_cast<std::uint64_t>(config_.seed + state_.step)},
                  config_.model.vocab_size);
  StreamDecoder decoder(*tokenizer_);
  std::string text = prompt;
  generate(generator, ids, config_.log.sample_tokens, sampler, config_.model.eos_token_ids,
           [&](std::int32_t token) {
             if (token >= static_cast<std::int32_t>(tokenizer_->vocabulary_size())) return true;
             text += decoder.push(static_cast<std::uint32_t>(token));
             return true;
           });
  say("--- sample at step " + std::to_string(state_.step) + "\n" + text + decoder.finish() +
      "\n---");
}

void Trainer::save() {
  if (saved_step_ == state_.step) return;
  state_.loss_scale = loss_scale_.state();
  state_.recent_losses = recent_losses_.state();
  state_.recent_norms = recent_norms_.state();
  const Clock::time_point start = Clock::now();
  save_checkpoint(engine_->executor(), state_, config_,
                  {.directory = directory_,
                   .keep = config_.checkpoint.keep,
                   .tokenizer_json = tokenizer_json_,
                   .plan = record_of(engine_->compiled()),
                   .warn = [this](const std::string& line) { say("warning: " + line); }});
  saved_step_ = state_.step;
  char line[64];
  std::snprintf(line, sizeof line, " in %.1f s", seconds_since(start));
  say("saved " + (directory_ / checkpoint_name(state_.step)).string() + line);
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
        {.held_bytes = engine_->executor().arena_bytes(), .system_root = options_.system_root});
  } catch (const Error& error) {
    save();  // nothing is lost, whatever becomes of the old plan
    // The system kills what exceeds its limit: better to leave, and to say why.
    if (change.lowered_limit && engine_->plan().predicted_peak_bytes() > *change.lowered_limit) {
      throw Error(error.code(),
                  "the limit on memory was lowered, saved at step " + std::to_string(state_.step) +
                      ": " + error.problem(),
                  error.where(), error.mend());
    }
    say("warning: the memory budget changed, but " + std::string(error.what()) +
        "; the run goes on with its old plan");
    return;
  }
  say("the memory budget changed; so far:\n" + memory_report(engine_->plan()));
  save();
  profile_.reset();  // it looks at the old program
  engine_.reset();
  config_ = std::move(config);
  use_plan(std::move(*plan));
  {
    const CheckpointReader saved =
        CheckpointReader::open(directory_ / checkpoint_name(state_.step));
    load_checkpoint(saved, engine_->executor());
  }
  loader_->seek(state_.data);
  say("from step " + std::to_string(state_.step) + ":\n" + memory_report(engine_->plan()));
}

int Trainer::run() {
  const StopSignal stop;
  BudgetWatch budget(config_.memory.budget, options_.reread_budget, options_.system_root);
  std::filesystem::create_directories(directory_);
  start();
  say(memory_report(engine_->plan()));
  while (state_.step < last_step_ && stop.received() == 0) {
    step();
    const auto due = [this](std::int64_t every) { return every > 0 && state_.step % every == 0; };
    const bool profiled = profile_ && profile_->steps() == kProfiledSteps;
    const bool pause = due(config_.log.validate_every) || due(config_.checkpoint.every) ||
                       due(config_.log.sample_every) || profiled;
    if (steps_here_ == 1) {
      char line[128];
      format_prediction_line(line, sizeof line, engine_->plan(), peak_resident_bytes());
      say(line);
    }
    if (profiled) report_profile();
    if (due(config_.log.validate_every)) validate();
    if (due(config_.log.sample_every)) sample();
    if (due(config_.checkpoint.every)) save();
    if (const auto changed = budget.changed()) replan(*changed);
    if (pause) {  // their time is not a step's
      timing_start_ = Clock::now();
      timed_steps_ = 0;
    }
  }
  if (profile_ && profile_->steps() > 0) report_profile();  // a run that ended earlier
  if (stop.received() == 0 && config_.log.validate_every > 0 &&
      state_.step % config_.log.validate_every != 0 && steps_here_ > 0) {
    validate();
  }
  save();
  return stop.received() == 0 ? 0 : 128 + stop.received();
}

}  // namespace

int train(const RunConfig& config, const TrainOptions& options, Backend& backend,
          double peak_flops) {
  return Trainer(config, options, backend, peak_flops).run();
}

}  // namespace ingot

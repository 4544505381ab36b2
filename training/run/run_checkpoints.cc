#include "training/run/run_checkpoints.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "planning/compile/plan_record.h"
#include "training/steps/trainer_state.h"

namespace ingot {
namespace {

constexpr std::chrono::minutes kFirstRetry{1}, kLastRetry{32};

}  // namespace

RunCheckpoints::RunCheckpoints(const RunConfig& config, std::int64_t last_step, const RunLog& log)
    : directory_(config.checkpoint.directory),
      every_(config.checkpoint.every),
      keep_(config.checkpoint.keep),
      steps_(last_step),
      log_(log) {}

RunCheckpoints::~RunCheckpoints() {
  try {
    if (const std::exception_ptr failure = settle()) warn_of_failure(failure);
  } catch (...) {  // the run ends for another reason, which is told
  }
}

void RunCheckpoints::keep_others_out() {
  if (lock_.take(directory_)) return;
  throw Error(ErrorCode::usage, "another run is writing its checkpoints here: " + lock_.holder(),
              directory_.string(),
              "wait until it has ended, or choose another checkpoint.directory");
}

std::optional<CheckpointReader> RunCheckpoints::find(const std::string& resume) {
  if (resume == "auto") {
    auto found = CheckpointReader::find_newest_good(
        directory_, [this](const std::string& name, const std::string& reason) {
          log_.say("damaged checkpoint " + name + " passed over: " + reason);
        });
    if (found) {
      saved_step_ = found->step();
      known_good_.insert(found->identity());
    } else if (!CheckpointReader::list(directory_).empty()) {
      throw Error(ErrorCode::data, "every checkpoint of this run is damaged", directory_.string(),
                  "remove them to start again, or name another with --resume");
    }
    return found;
  }
  if (resume != "none") return CheckpointReader::open(resume);
  if (!CheckpointReader::list(directory_).empty()) {
    throw Error(ErrorCode::usage, "there are checkpoints of an earlier run", directory_.string(),
                "use --resume auto to go on with it, or another checkpoint.directory");
  }
  return std::nullopt;
}

// How many more will stand in the directory at once: a new one is there before the oldest goes.
std::int64_t RunCheckpoints::to_come() const {
  const std::int64_t saves = every_ > 0 ? (steps_ + every_ - 1) / every_ : 1;
  const std::int64_t most = keep_ > 0 ? std::min(saves, keep_ + 1) : saves;
  const auto there = static_cast<std::int64_t>(CheckpointReader::list(directory_).size());
  return std::max<std::int64_t>(1, most - there);
}

void RunCheckpoints::require_room(const Program& program) const {
  const std::int64_t copies = to_come();
  require_free_space(directory_, checkpoint_bytes(program) * static_cast<std::uint64_t>(copies),
                     copies == 1 ? "a checkpoint" : std::to_string(copies) + " checkpoints");
}

void RunCheckpoints::use(TrainingEngine* engine) {
  saver_.reset();
  engine_ = engine;
  if (engine == nullptr) return;
  const std::int64_t snapshot = engine->plan().snapshot_bytes;
  saver_ = std::make_unique<CheckpointSaver>(engine->compiled().program, snapshot);
  if (snapshot > 0 && !saver_->has_snapshot()) {
    log_.say(
        "warning: the system has no memory for the copy that saves are written from: the "
        "steps wait for the disk at each");
  }
}

std::int64_t RunCheckpoints::snapshot_bytes() const {
  return saver_->has_snapshot() ? saver_->staging_bytes() : 0;
}

void RunCheckpoints::start(const State& state) {
  const nlohmann::json sections = {{"plan", to_json(record_of(engine_->compiled()))},
                                   {"data", to_json(state.data)},
                                   {"trainer", to_json(state.trainer)}};
  saving_step_ = state.trainer.step;
  saver_->start(engine_->executor(), saving_step_, state.config, sections,
                {.directory = directory_,
                 .keep = keep_,
                 .companions = &state.companions,
                 .known_good = &known_good_});
}

// Waits for the save under way, if there is one, and says that it is there; else gives its failure.
std::exception_ptr RunCheckpoints::settle() {
  if (!saver_ || !saver_->is_under_way()) return nullptr;
  const SaveResult result = saver_->result();
  for (const std::string& line : result.warnings) log_.say("warning: " + line);
  if (result.failure) return result.failure;
  saved_step_ = result.step;
  retry_after_ = std::chrono::minutes(0);
  log_.say(fmt::format("saved {} in {:.1f} s, the steps waited {:.2f} s",
                       path_of(result.step).string(), result.seconds, result.stalled_seconds));
  return nullptr;
}

// The weights are in memory, and the disk may be well again in a minute.
void RunCheckpoints::warn_of_failure(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::device && error.code() != ErrorCode::data) throw;
    retry_after_ = std::clamp(2 * retry_after_, kFirstRetry, kLastRetry);
    retry_at_ = std::chrono::steady_clock::now() + retry_after_;
    log_.say("warning: step " + std::to_string(saving_step_) + " is not saved, " + error.what() +
             "; the run goes on and tries again in " + std::to_string(retry_after_.count()) +
             " min");
  }
}

void RunCheckpoints::look() {
  if (!saver_->has_result()) return;
  if (const std::exception_ptr failure = settle()) warn_of_failure(failure);
}

bool RunCheckpoints::is_retry_due() const {
  return retry_after_.count() > 0 && !saver_->is_under_way() &&
         std::chrono::steady_clock::now() >= retry_at_;
}

void RunCheckpoints::begin_save(const State& state) {
  if (saver_->is_under_way()) {
    if (saving_step_ == state.trainer.step) return;
    if (!saver_->has_result()) {
      log_.say("step " + std::to_string(saving_step_) +
               " is still being saved: the next save waits for it");
    }
    if (const std::exception_ptr failure = settle()) warn_of_failure(failure);
  }
  if (saved_step_ != state.trainer.step) start(state);
}

void RunCheckpoints::save(const State& state) {
  std::exception_ptr failure = settle();
  if (failure && saving_step_ != state.trainer.step) warn_of_failure(failure);
  if (saved_step_ == state.trainer.step) return;
  start(state);
  failure = settle();
  if (failure) std::rethrow_exception(failure);
}

std::filesystem::path RunCheckpoints::path_of(std::int64_t step) const {
  return directory_ / checkpoint_name(step);
}

}  // namespace ingot

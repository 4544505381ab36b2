#include "training/run/run_checkpoints.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "planning/compile/plan_record.h"
#include "training/steps/trainer_state.h"

namespace ingot {

RunCheckpoints::RunCheckpoints(const RunConfig& config, const RunLog& log)
    : directory_(config.checkpoint.directory),
      every_(config.checkpoint.every),
      keep_(config.checkpoint.keep),
      steps_(config.schedule.steps),
      log_(log) {}

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

void RunCheckpoints::save(TrainingEngine& engine, const TrainerState& state,
                          const RunConfig& config, const std::string& tokenizer_json) {
  if (saved_step_ == state.step) return;
  const auto start = std::chrono::steady_clock::now();
  const nlohmann::json sections = {{"plan", to_json(record_of(engine.compiled()))},
                                   {"trainer", to_json(state)}};
  save_checkpoint(engine.executor(), state.step, config, sections,
                  {.directory = directory_,
                   .keep = keep_,
                   .tokenizer_json = tokenizer_json,
                   .warn = [this](const std::string& line) { log_.say("warning: " + line); }});
  saved_step_ = state.step;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  char line[64];
  std::snprintf(line, sizeof line, " in %.1f s", took.count());
  log_.say("saved " + path_of(state.step).string() + line);
}

std::filesystem::path RunCheckpoints::path_of(std::int64_t step) const {
  return directory_ / checkpoint_name(step);
}

}  // namespace ingot

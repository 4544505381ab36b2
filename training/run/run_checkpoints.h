// The checkpoints of a run: which one it goes on from, room for those to come, and saving, behind
// the back of the steps where the plan has room for that.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "io/companion_files.h"
#include "io/directory_lock.h"
#include "training/run/resume_check.h"
#include "training/run/run_log.h"
#include "training/steps/trainer_state.h"
#include "training/steps/training_engine.h"
#include "weights/checkpoint.h"
#include "weights/checkpoint_saver.h"

namespace ingot {

class RunCheckpoints {
 public:
  // log must outlive this.
  // last_step: at which the run ends.
  RunCheckpoints(const RunConfig& config, std::int64_t last_step, const RunLog& log);
  ~RunCheckpoints();  // after the save that is under way, and says how it ended

  // Keeps other runs out of the directory as long as this lives, from the first call at which it is
  // there. Throws Error(usage) when one is at work in it.
  void keep_others_out();

  // What to start from, by TrainOptions::resume; nothing: fresh. Throws Error: usage when resume is
  // "none" and there are checkpoints, data when there is no good one among them.
  std::optional<CheckpointReader> find(const std::string& resume);

  // Throws Error(device) when the disk has no room for the checkpoints that this program's run will
  // write: one that would fail at its first save fails before its first step.
  void require_room(const Program& program) const;

  // From now on this engine's state is saved; nothing may be under way. Null: there is none for
  // now.
  void use(TrainingEngine* engine);
  // Of the copy that saves are written from; 0: there is none.
  std::int64_t snapshot_bytes() const;

  // What a save is made of, besides the engine's tensors. companions must stay.
  struct State {
    const TrainerState& trainer;
    const DataRecord& data;
    const RunConfig& config;
    const CompanionFiles& companions;
  };
  // Copies the state and goes on, unless this very step is there already or on its way; waits for
  // the save before where that is not done. That a save failed is said, and it is due again soon.
  // Throws Error(diverged) when a weight is not finite, here or in one of the calls below.
  void begin_save(const State& state);
  // Says how the save under way ended, once it has. Allocates nothing until then.
  void look();
  // Whether a save has failed and it is time to try again.
  bool is_retry_due() const;
  // Saves unless this very step is there already, and waits. Throws Error(device) when it fails.
  void save(const State& state);

  // Where that step's is.
  std::filesystem::path path_of(std::int64_t step) const;

 private:
  std::int64_t to_come() const;
  void start(const State& state);
  std::exception_ptr settle();
  void warn_of_failure(const std::exception_ptr& failure);

  std::filesystem::path directory_;
  std::int64_t every_, keep_, steps_;
  const RunLog& log_;
  DirectoryLock lock_;
  GoodCheckpoints known_good_;
  TrainingEngine* engine_ = nullptr;
  std::unique_ptr<CheckpointSaver> saver_;
  std::int64_t saved_step_ = -1;         // the newest one is of this step; none yet
  std::int64_t saving_step_ = -1;        // of the save under way
  std::chrono::minutes retry_after_{0};  // 0: the last save did not fail
  std::chrono::steady_clock::time_point retry_at_;
};

}  // namespace ingot

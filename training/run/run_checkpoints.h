// The checkpoints of a run: which one it goes on from, room for those to come, and saving.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "io/directory_lock.h"
#include "training/run/run_log.h"
#include "training/steps/trainer_state.h"
#include "training/steps/training_engine.h"
#include "weights/checkpoint.h"

namespace ingot {

class RunCheckpoints {
 public:
  // log must outlive this.
  RunCheckpoints(const RunConfig& config, const RunLog& log);

  // Keeps other runs out of the directory as long as this lives, from the first call at which it is
  // there. Throws Error(usage) when one is at work in it.
  void keep_others_out();

  // What to start from, by TrainOptions::resume; nothing: fresh. Throws Error: usage when resume is
  // "none" and there are checkpoints, data when there is no good one among them.
  std::optional<CheckpointReader> find(const std::string& resume);

  // Throws Error(device) when the disk has no room for the checkpoints that this program's run will
  // write: one that would fail at its first save fails before its first step.
  void require_room(const Program& program) const;

  // Unless this very step is there already.
  void save(TrainingEngine& engine, const TrainerState& state, const RunConfig& config,
            const std::string& tokenizer_json);
  // Where that step's is.
  std::filesystem::path path_of(std::int64_t step) const;

 private:
  std::int64_t to_come() const;

  std::filesystem::path directory_;
  std::int64_t every_, keep_, steps_;
  const RunLog& log_;
  DirectoryLock lock_;
  std::int64_t saved_step_ = -1;  // the newest one is of this step; none yet
};

}  // namespace ingot

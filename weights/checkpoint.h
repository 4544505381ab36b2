// What a checkpoint holds and how it gets in and out of the executor: every weight by its Hugging
// Face name in fp32, its moments, and the trainer's state in the manifest. Names and not places in
// fused tensors, so that a checkpoint outlives changes of layout.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/shards/loader.h"
#include "engine/config/config.h"
#include "engine/execution/executor.h"
#include "io/checkpoint_files.h"
#include "io/model_files.h"
#include "optim/loss_scale.h"
#include "planning/compile/plan_record.h"

namespace ingot {

// All of a trainer that is not in tensors.
struct TrainerState {
  std::int64_t step = 0;     // of the schedule, done
  std::int64_t updates = 0;  // of these, applied
  std::int64_t tokens = 0;
  DataPosition data;
  LossScale::State loss_scale;
  std::vector<double> recent_losses, recent_norms;
  float previous_norm = 0;  // StepState::previous_norm
};

struct SaveOptions {
  std::filesystem::path directory;
  std::int64_t keep = 3;       // 0: all
  std::string tokenizer_json;  // copied into the checkpoint unless empty
  PlanRecord plan;             // recorded in the manifest
  std::function<void(const std::string&)> warn;
};

// Writes DIRECTORY/step_XXXXXXXX. Throws Error(diverged), and writes nothing, when a weight is not
// finite; Error(device) when the disk refuses.
void save_checkpoint(const Executor& executor, const TrainerState& state, const RunConfig& config,
                     const SaveOptions& options);

// Bytes of tensors in a checkpoint of this program.
std::uint64_t checkpoint_bytes(const Program& program);

// Reads weights and, if the program trains, moments (zero when the checkpoint has none). Throws
// Error(data) when a tensor is missing or has another shape.
void load_checkpoint(const CheckpointReader& reader, Executor& executor);
TrainerState load_trainer_state(const CheckpointReader& reader);

// The plan of the run that saved it; nothing where none was recorded.
std::optional<PlanRecord> load_plan_record(const CheckpointReader& reader);

// The model a checkpoint is of.
ModelConfig checkpoint_model(const CheckpointReader& reader);

// Fills every weight from a Hugging Face folder. Throws Error(data) naming missing tensors and
// wrong shapes. Returns the tensors of the folder that the model does not use (MTP copies of the
// embedding are known and left out).
std::vector<std::string> load_model_files(const ModelFiles& files, const ModelConfig& config,
                                          Executor& executor);

}  // namespace ingot

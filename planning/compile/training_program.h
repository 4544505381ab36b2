// Compiles a run config into the one program of a training run: micro-step with gradients, update,
// evaluation, and generation when the run shows samples.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/config/config.h"
#include "engine/program/program.h"
#include "layers/generation.h"
#include "layers/model.h"
#include "memory/passes/offload.h"
#include "memory/passes/saved_activations.h"
#include "optim/update.h"

namespace ingot {

// Decides how each activation is kept until backward: by tensor id.
using ChooseStorage = std::function<std::vector<Storage>(const Program& program,
                                                         std::span<const SavedActivation> saved)>;

// One step of compile_training(): its name, and in a line why it stands where it does.
struct TrainingPass {
  std::string_view name, why;
};
// Told of each pass after it ran, with the program as it is then.
using ObservePass = std::function<void(const TrainingPass& pass, const Program& program)>;

struct TrainingProgram {
  Program program;
  std::int64_t batch = 0, sequence = 0;  // of a micro-step
  ModelInputs inputs;                    // of the micro-step
  ModelLosses losses;
  ModelInputs evaluation_inputs;
  ModelLosses evaluation;
  std::optional<GenerationParts> generation;
  Schedule schedule;  // of an update
  OffloadSet offload = OffloadSet::none;
  OptimizerState state = OptimizerState::fp32;
  std::int64_t head_chunk = 0;  // tokens whose logits exist at once
  int packed_weights = 0;       // copies of weights that are packed once a step
  int fetch_ahead = 0;          // copies of offloaded tensors that start before their use
  // What was not simply kept, by name of the activation, in forward's order.
  std::vector<std::pair<std::string, Storage>> stored;
};

// What may differ between programs of one config.
struct TrainingOptions {
  std::int64_t batch = 1;      // sequences of a micro-step; evaluation runs as many at a time
  ChooseStorage storage = {};  // of activations; none: all are kept as they are
  OffloadSet offload = OffloadSet::none;
  std::int64_t head_chunk = 0;  // 0: as the head's rule has it
  bool pack_weights = false;    // once a step, where that saves time
  int fetch_ahead = 0;          // how many copies of offloaded tensors start before their use
  // As a pipeline of chunks of layers, all in this process: where each but the first begins.
  std::vector<int> chunks = {};
  bool split_backward = false;  // of chunks: gradients of weights apart, as ZB-H1 has them
  std::function<Learning(std::string_view weight)> learning = learn_everything;
  ObservePass observe = {};  // for `ingot plan --passes`
};

// Runs the list of passes in training_program.cc.
TrainingProgram compile_training(const RunConfig& config, const TrainingOptions& options);

// Of each step, with so many sequences in a micro-step.
std::int64_t micro_steps(const RunConfig& config, std::int64_t batch);

}  // namespace ingot

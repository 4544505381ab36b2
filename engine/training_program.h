// Compiles a run config into the one program of a training run: micro-step with gradients, update,
// evaluation, and generation when the run shows samples.
#pragma once

#include <optional>
#include <vector>

#include "engine/config.h"
#include "engine/program.h"
#include "layers/generation.h"
#include "layers/model.h"
#include "optim/update.h"

namespace ingot {

struct TrainingProgram {
  Program program;
  std::int64_t batch = 0, sequence = 0;  // of a micro-step
  ModelInputs inputs;                    // of the micro-step
  ModelLosses losses;
  UpdateOutputs update;
  ModelInputs evaluation_inputs;
  ModelLosses evaluation;
  std::optional<GenerationParts> generation;
};

// batch: sequences of a micro-step. Evaluation runs the same number at a time.
TrainingProgram compile_training(const RunConfig& config, std::int64_t batch);

// The dtype that activations and matrices are stored in.
DType storage_dtype(ComputeType compute);

// How many sequences a micro-step may hold: the divisors of the global batch, largest first.
std::vector<std::int64_t> micro_batch_choices(const RunConfig& config);

}  // namespace ingot

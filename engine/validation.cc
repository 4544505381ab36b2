#include "engine/validation.h"

namespace ingot {

Validation::Validation(TrainingEngine& engine, const Dataset& data, std::int64_t batches)
    : engine_(engine),
      batches_(data, {.micro_batch = engine.compiled().batch}, batches),
      tokens_(engine.tokens_per_micro_step()),
      targets_(engine.tokens_per_micro_step()) {}

double Validation::loss() {
  TrainingEngine::LossSum sum;
  for (std::int64_t i = 0; i < batches_.count(); ++i) {
    batches_.read(i, tokens_, targets_);
    sum += engine_.evaluate(tokens_, targets_);
  }
  return sum.mean();
}

}  // namespace ingot

// The loss on data that a run does not train on.
#pragma once

#include <cstdint>
#include <vector>

#include "data/loader.h"
#include "engine/training_engine.h"

namespace ingot {

class Validation {
 public:
  // batches: of the engine's micro-batch; 0: all of the data. Both must outlive this.
  Validation(TrainingEngine& engine, const Dataset& data, std::int64_t batches);

  // Mean over the targets, with the weights as they are now. Allocates nothing.
  double loss();

 private:
  TrainingEngine& engine_;
  SequentialBatches batches_;
  std::vector<std::int32_t> tokens_, targets_;
};

}  // namespace ingot

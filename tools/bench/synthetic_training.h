// A training run on random tokens, without files: for benchmarks.
#pragma once

#include "training/steps/training_engine.h"

namespace ingot {

class SyntheticTraining {
 public:
  // Plans, takes memory, makes weights. backend must outlive this.
  SyntheticTraining(const RunConfig& config, Backend& backend, int threads);

  // One update, all micro-steps.
  void step();
  // One more, looked at.
  void step(OpObserver& observer);
  TrainingEngine& engine() { return engine_; }

 private:
  TrainingEngine engine_;
  std::uint32_t vocabulary_;
  std::uint64_t drawn_ = 0;
};

}  // namespace ingot

// A loss as the head gives it: a sum over the targets that are not negative, and their number.
#pragma once

#include "engine/execution/executor.h"

namespace ingot {

struct LossSum {
  double loss = 0;
  double targets = 0;

  double mean() const { return loss / (targets > 0 ? targets : 1); }
  LossSum& operator+=(const LossSum& other) {
    loss += other.loss;
    targets += other.targets;
    return *this;
  }
};

// loss: [2] f32 (layers/model.h), after the part that computes it has run.
LossSum read_loss(const Executor& executor, Tensor loss);

}  // namespace ingot

// The loss on data that a model is not trained on: while it is, and of a finished one.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/shards/loader.h"
#include "inference/loss_sum.h"

namespace ingot {

class Evaluation {
 public:
  // The losses of one batch: tokens and targets [batch, sequence].
  using EvaluateBatch =
      std::function<LossSum(std::span<const std::int32_t>, std::span<const std::int32_t>)>;

  // batch: sequences at a time. sequences: how many in all, whatever `batch` is; 0: all of the
  // data, which must outlive this.
  Evaluation(const Dataset& data, std::int64_t batch, std::int64_t sequences,
             EvaluateBatch evaluate);

  // Over all sequences, with the weights as they are now. Allocates nothing.
  LossSum losses();

 private:
  EvaluateBatch evaluate_;
  SequentialBatches batches_;
  std::vector<std::int32_t> tokens_, targets_;
};

}  // namespace ingot

#include "inference/evaluation.h"

#include <utility>

namespace ingot {

Evaluation::Evaluation(const Dataset& data, std::int64_t batch, std::int64_t sequences,
                       EvaluateBatch evaluate)
    : evaluate_(std::move(evaluate)),
      batches_(data, {.micro_batch = batch}, sequences),
      tokens_(batch * data.sequence_length()),
      targets_(tokens_.size()) {}

LossSum Evaluation::losses() {
  LossSum sum;
  for (std::int64_t i = 0; i < batches_.count(); ++i) {
    batches_.read(i, tokens_, targets_);
    sum += evaluate_(tokens_, targets_);
  }
  return sum;
}

}  // namespace ingot

#include "inference/loss_sum.h"

namespace ingot {

LossSum read_loss(const Executor& executor, Tensor loss) {
  float values[2];
  executor.read(loss, std::as_writable_bytes(std::span(values)));
  return {values[0], values[1]};
}

}  // namespace ingot

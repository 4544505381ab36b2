#include "ops/accumulate_gradient/accumulate_gradient.h"

#include <stdexcept>

namespace ingot {

const OpKind kAccumulateGradient{
    .name = "accumulate_gradient", .square_sums = accumulated_square_sums, .reads_step = true};

std::int64_t accumulated_square_sums(const Shape& gradient) {
  const StateLayout layout{.rows = gradient.rows(), .columns = gradient.last()};
  return (layout.groups() + kTileOfSquares - 1) / kTileOfSquares;
}

void accumulate_gradient(Program& program, Tensor gradient, const Weight& weight) {
  const WeightState& sum = weight.gradient;
  if (program.info(gradient).shape != program.info(sum.values).shape ||
      program.dtype(gradient) != DType::f32 || program.dtype(sum.values) != DType::bf16) {
    throw std::logic_error("accumulate_gradient: f32 into bf16 of the same shape");
  }
  program.append(kAccumulateGradient, {gradient}, {sum.values, sum.extra});
}

}  // namespace ingot

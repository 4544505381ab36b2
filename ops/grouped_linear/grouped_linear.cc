#include "ops/grouped_linear/grouped_linear.h"

#include <stdexcept>

#include "engine/execution/gradient_squares.h"
#include "engine/program/autodiff.h"

namespace ingot {
namespace {

// All three products multiply rows x in x out, whatever the experts' shares are.
Cost product_cost(const Program& program, const Op& op, Tensor x, Tensor y) {
  return {.flops = 2.0 * static_cast<double>(program.rows(x)) * static_cast<double>(x.columns) *
                   static_cast<double>(y.columns),
          .bytes = operand_bytes(program, op)};
}

Cost forward_cost(const Program& program, const Op& op) {
  return product_cost(program, op, op.inputs[0], op.outputs[0]);
}
Cost dgrad_cost(const Program& program, const Op& op) {
  return product_cost(program, op, op.outputs[0], op.inputs[0]);
}
Cost wgrad_cost(const Program& program, const Op& op) {
  return product_cost(program, op, op.inputs[1], op.inputs[0]);
}

void grouped_linear_gradient(Gradients& gradients, const Op& op) {
  const Tensor x = op.inputs[0], weight = op.inputs[1], offsets = op.inputs[2];
  const Tensor dy = gradients.of(op.outputs[0]);
  if (!dy) return;
  Program& program = gradients.program();
  if (const auto dw = gradients.into(weight)) {
    if (!dw.accumulate) throw std::logic_error("grouped_linear: the weight must be a weight");
    program.append(kGroupedLinearWgrad, {dy, x, offsets}, {dw.tensor}, {{"first", dw.first}});
  }
  if (const auto dx = gradients.into(x)) {
    program.append(kGroupedLinearDgrad, {dy, weight, offsets}, {dx.tensor},
                   {{"accumulate", dx.accumulate}});
  }
}

}  // namespace

const OpKind kGroupedLinear{.name = "grouped_linear",
                            .gradient = grouped_linear_gradient,
                            .cost = forward_cost,
                            .product = Product::forward,
                            .weight_operand = 1,
                            .codes_operand = 1,
                            .reads_step = true};
const OpKind kGroupedLinearDgrad{.name = "grouped_linear_dgrad",
                                 .cost = dgrad_cost,
                                 .product = Product::dgrad,
                                 .weight_operand = 1,
                                 .reads_step = true};
const OpKind kGroupedLinearWgrad{.name = "grouped_linear_wgrad",
                                 .cost = wgrad_cost,
                                 .product = Product::wgrad,
                                 .square_sums = product_square_sums,
                                 .reads_step = true};

Tensor grouped_linear(Program& program, Tensor x, Tensor weight, Tensor offsets) {
  const Shape& shape = program.info(weight).shape;
  if (shape.rank() != 3 || shape[2] != x.columns || !program.is_whole(weight)) {
    throw std::logic_error("grouped_linear " + program.scope() + ": weight " + shape.to_string() +
                           " does not take " + std::to_string(x.columns) + " columns");
  }
  if (program.dtype(weight) != program.dtype(x)) {
    throw std::logic_error("grouped_linear " + program.scope() + ": dtypes differ");
  }
  if (program.dtype(offsets) != DType::i32 || offsets.columns != shape[0] + 1) {
    throw std::logic_error("grouped_linear " + program.scope() + ": offsets do not fit experts");
  }
  const Tensor y = program.activation("y", {program.rows(x), shape[1]}, program.dtype(x));
  program.append(kGroupedLinear, {x, weight, offsets}, {y});
  return y;
}

}  // namespace ingot

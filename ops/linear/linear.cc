#include "ops/linear/linear.h"

#include <stdexcept>

#include "engine/execution/gradient_squares.h"
#include "engine/program/autodiff.h"
#include "ops/add/add.h"

namespace ingot {
namespace {

double operand_bytes(const Program& program, Tensor t) {
  return t ? static_cast<double>(program.rows(t) * t.columns * size_of(program.dtype(t))) : 0.0;
}

// All three products multiply tokens x in x out.
Cost product_cost(const Program& program, const Op& op, double tokens, double in, double out) {
  Cost cost{.flops = 2 * tokens * in * out};
  for (const Tensor t : op.inputs) cost.bytes += operand_bytes(program, t);
  for (const Tensor t : op.outputs) cost.bytes += operand_bytes(program, t);
  return cost;
}

Cost linear_cost(const Program& program, const Op& op) {
  const Tensor x = op.inputs[0], weight = op.inputs[1];
  return product_cost(program, op, static_cast<double>(program.rows(x)),
                      static_cast<double>(x.columns), static_cast<double>(program.rows(weight)));
}

Cost dgrad_cost(const Program& program, const Op& op) {
  const Tensor dy = op.inputs[0], dx = op.outputs[0];
  return product_cost(program, op, static_cast<double>(program.rows(dy)),
                      static_cast<double>(dx.columns), static_cast<double>(dy.columns));
}

Cost wgrad_cost(const Program& program, const Op& op) {
  const Tensor dy = op.inputs[0], x = op.inputs[1];
  return product_cost(program, op, static_cast<double>(program.rows(dy)),
                      static_cast<double>(x.columns), static_cast<double>(dy.columns));
}

void linear_gradient(Gradients& gradients, const Op& op) {
  const Tensor y = op.outputs[0], x = op.inputs[0], weight = op.inputs[1];
  const Tensor bias = op.inputs[2], residual = op.inputs[3];
  const Tensor dy = gradients.of(y);
  if (!dy) return;
  Program& program = gradients.program();
  if (const auto dw = gradients.into(weight)) {
    program.append(kLinearWgrad, {dy, x}, {dw.tensor}, {{"first", dw.first}});
  }
  if (const auto db = gradients.into(bias)) {
    program.append(kBiasGradient, {dy}, {db.tensor}, {{"first", db.first}});
  }
  if (const auto dx = gradients.into(x)) {
    program.append(kLinearDgrad, {dy, weight}, {dx.tensor}, {{"accumulate", dx.accumulate}});
  }
  pass_gradient(gradients, y, residual);
}

}  // namespace

const OpKind kLinear{.name = "linear",
                     .gradient = linear_gradient,
                     .cost = linear_cost,
                     .product = Product::forward,
                     .weight_operand = 1,
                     .codes_operand = 1,
                     .reads_step = true};
const OpKind kLinearDgrad{.name = "linear_dgrad",
                          .cost = dgrad_cost,
                          .product = Product::dgrad,
                          .weight_operand = 1,
                          .reads_step = true};
const OpKind kLinearWgrad{.name = "linear_wgrad",
                          .cost = wgrad_cost,
                          .product = Product::wgrad,
                          .square_sums = product_square_sums,
                          .reads_step = true};
const OpKind kBiasGradient{.name = "bias_gradient"};

Tensor linear(Program& program, Tensor x, Tensor weight, const LinearOptions& options) {
  const Shape& shape = program.info(weight).shape;
  if (shape.rank() != 2 || shape[1] != x.columns) {
    throw std::logic_error("linear " + program.scope() + ": weight " + shape.to_string() +
                           " does not take " + std::to_string(x.columns) + " columns");
  }
  const std::int64_t tokens = program.rows(x), out = shape[0];
  const Tensor y =
      program.activation("y", {tokens, out}, options.output_dtype.value_or(program.dtype(x)));
  const Tensor residual = options.residual;
  if (residual && (program.rows(residual) != tokens || residual.columns != out ||
                   program.dtype(residual) != program.dtype(y))) {
    throw std::logic_error("linear " + program.scope() + ": residual differs from the output");
  }
  if (options.bias && options.bias.columns != out) {
    throw std::logic_error("linear " + program.scope() + ": bias differs from the output");
  }
  program.append(kLinear, {x, weight, options.bias, residual}, {y});
  return y;
}

}  // namespace ingot

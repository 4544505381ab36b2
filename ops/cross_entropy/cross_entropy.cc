#include "ops/cross_entropy/cross_entropy.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "engine/execution/gradient_squares.h"
#include "engine/program/autodiff.h"

namespace ingot {
namespace {

double products(const Program& program, const Op& op, int count) {
  const Tensor hidden = op.inputs[0], weight = op.inputs[1];
  return 2.0 * count * static_cast<double>(program.rows(hidden)) *
         static_cast<double>(hidden.columns) * static_cast<double>(program.rows(weight));
}

double traffic(const Program& program, const Op& op) {
  double bytes = 0;
  for_operands(op, [&](Tensor t) { bytes += static_cast<double>(program.info(t).bytes()); });
  return bytes;
}

Cost forward_cost(const Program& program, const Op& op) {
  return {products(program, op, 1), traffic(program, op)};
}

Cost backward_cost(const Program& program, const Op& op) {
  return {products(program, op, 3), traffic(program, op)};
}

void cross_entropy_gradient(Gradients& gradients, const Op& op) {
  const auto d_hidden = gradients.into(op.inputs[0]);
  const auto d_weight = gradients.into(op.inputs[1]);
  Attributes attributes = op.attributes;
  attributes.set("accumulate", d_hidden.accumulate);
  attributes.set("first", d_weight.first);
  gradients.program().append(kCrossEntropyBackward, op.inputs,
                             {op.outputs[0], d_hidden.tensor, d_weight.tensor},
                             std::move(attributes));
}

// Each chunk packs the whole weight twice and adds to its whole gradient: with fewer rows that
// takes longer than the products.
constexpr std::int64_t kLeastChunk = 512;

}  // namespace

const OpKind kCrossEntropy{.name = "cross_entropy",
                           .gradient = cross_entropy_gradient,
                           .cost = forward_cost,
                           .forward_in_gradient = true,
                           .product = Product::head,
                           .weight_operand = 1};
const OpKind kCrossEntropyBackward{.name = "cross_entropy_backward",
                                   .cost = backward_cost,
                                   .product = Product::head_backward,
                                   .weight_operand = 1,
                                   .square_sums = product_square_sums,
                                   .reads_step = true};

std::int64_t chunk_rows_for(std::int64_t tokens, std::int64_t hidden, std::int64_t vocabulary) {
  const std::int64_t chunks =
      std::max<std::int64_t>(1, vocabulary / std::max<std::int64_t>(1, hidden));
  const std::int64_t rows = (tokens + chunks - 1) / chunks;
  const auto power = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)));
  return std::min(tokens, std::max(kLeastChunk, power));
}

bool is_head(const Op& op) {
  return op.kind->product == Product::head || op.kind->product == Product::head_backward;
}

std::int64_t head_chunk(const Program& program) {
  std::int64_t rows = 0;
  for (const Op& op : program.ops()) {
    if (is_head(op)) rows = std::max(rows, op.attributes.integer("chunk_rows"));
  }
  return rows;
}

void set_head_chunk(Program& program, std::int64_t rows) {
  for (Op& op : program.ops()) {
    if (!is_head(op)) continue;
    const std::int64_t tokens = program.rows(op.inputs[0]);
    op.attributes.set("chunk_rows", static_cast<double>(std::min(tokens, rows)));
  }
}

Tensor cross_entropy(Program& program, Tensor hidden, Tensor weight, Tensor targets,
                     const CrossEntropyOptions& options) {
  const std::int64_t tokens = program.rows(hidden);
  const Shape& shape = program.info(weight).shape;
  if (shape[1] != hidden.columns || program.info(targets).shape.elements() != tokens ||
      program.dtype(targets) != DType::i32) {
    throw std::logic_error("cross_entropy: operands do not fit");
  }
  const std::int64_t rows = options.chunk_rows > 0
                                ? options.chunk_rows
                                : chunk_rows_for(tokens, hidden.columns, shape[0]);
  const Tensor loss = program.add_tensor({.name = "loss",
                                          .shape = {2},
                                          .dtype = DType::f32,
                                          .role = Role::output,
                                          .lifetime = Lifetime::parts});
  program.append(kCrossEntropy, {hidden, weight, targets}, {loss},
                 {{"factor_slot", static_cast<double>(program.step_slot(options.factor))},
                  {"chunk_rows", static_cast<double>(rows)}});
  return loss;
}

}  // namespace ingot

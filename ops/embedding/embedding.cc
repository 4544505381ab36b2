#include "ops/embedding/embedding.h"

#include <stdexcept>

#include "engine/program/autodiff.h"

namespace ingot {
namespace {

// Only the rows that tokens name are touched, not the whole table.
Cost forward_cost(const Program& program, const Op& op) {
  const Tensor table = op.inputs[1], y = op.outputs[0];
  const auto elements = static_cast<double>(program.rows(y) * y.columns);
  const std::int64_t bytes = size_of(program.dtype(table)) + size_of(program.dtype(y));
  return {0, elements * static_cast<double>(bytes)};
}

Cost backward_cost(const Program& program, const Op& op) {
  const Tensor dy = op.inputs[1];
  const auto elements = static_cast<double>(program.rows(dy) * dy.columns);
  return {elements, elements * static_cast<double>(size_of(program.dtype(dy)) + 8)};
}

void embedding_gradient(Gradients& gradients, const Op& op) {
  const Tensor dy = gradients.of(op.outputs[0]);
  if (!dy) return;
  if (const auto d_table = gradients.into(op.inputs[1])) {
    if (!d_table.accumulate) throw std::logic_error("embedding: the table must be a weight");
    gradients.program().append(kEmbeddingBackward, {op.inputs[0], dy}, {d_table.tensor},
                               {{"first", d_table.first}});
  }
}

}  // namespace

const OpKind kEmbedding{.name = "embedding",
                        .gradient = embedding_gradient,
                        .cost = forward_cost,
                        .weight_operand = 1,
                        .codes_operand = 1};
const OpKind kEmbeddingBackward{.name = "embedding_backward", .cost = backward_cost};

Tensor embedding(Program& program, Tensor ids, Tensor table, DType out) {
  const Shape& shape = program.info(table).shape;
  if (program.dtype(ids) != DType::i32 || !program.is_whole(ids) || shape.rank() != 2 ||
      !program.is_whole(table) || !is_float(program.dtype(table)) || !is_float(out)) {
    throw std::logic_error("embedding " + program.scope() + ": needs i32 ids and a [V, d] table");
  }
  const Tensor y =
      program.activation("embedding", {program.info(ids).shape.elements(), shape[1]}, out);
  program.append(kEmbedding, {ids, table}, {y});
  return y;
}

}  // namespace ingot

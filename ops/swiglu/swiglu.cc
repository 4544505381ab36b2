#include "ops/swiglu/swiglu.h"

#include <stdexcept>

#include "engine/program/autodiff.h"

namespace ingot {
namespace {

Cost forward_cost(const Program& program, const Op& op) {
  const Tensor gate_up = op.inputs[0];
  return {2.5 * static_cast<double>(program.rows(gate_up) * gate_up.columns),
          operand_bytes(program, op)};
}

Cost backward_cost(const Program& program, const Op& op) {
  const Tensor dh = op.inputs[0];
  return {12.0 * static_cast<double>(program.rows(dh) * dh.columns), operand_bytes(program, op)};
}

void swiglu_gradient(Gradients& gradients, const Op& op) {
  const Tensor dh = gradients.of(op.outputs[0]);
  if (!dh) return;
  const Tensor gate_up = op.inputs[0], row_weight = op.inputs[1], row_count = op.inputs[2];
  const auto d_gate_up = gradients.into(gate_up);
  const auto d_row_weight = gradients.into(row_weight);
  if (!d_gate_up) throw std::logic_error("swiglu: only the row weight is trained");
  gradients.program().append(
      kSwigluBackward, {dh, gate_up, row_weight, row_count},
      {d_gate_up.tensor, d_row_weight.tensor, Tensor{}},
      {{"accumulate", d_gate_up.accumulate}, {"accumulate_weight", d_row_weight.accumulate}});
}

}  // namespace

const OpKind kSwiglu{.name = "swiglu",
                     .gradient = swiglu_gradient,
                     .cost = forward_cost,
                     .codes_operand = 0,
                     .writes_codes = true,
                     .row_wise = true,
                     .reads_step = true};
const OpKind kSwigluBackward{.name = "swiglu_backward",
                             .cost = backward_cost,
                             .codes_operand = 1,
                             .writes_codes = true,
                             .row_wise = true,
                             .reads_step = true};

Tensor swiglu(Program& program, Tensor gate_up, Tensor row_weight, Tensor row_count) {
  const std::int64_t rows = program.rows(gate_up);
  if (gate_up.columns % 2 != 0) {
    throw std::logic_error("swiglu " + program.scope() + ": an odd number of columns");
  }
  if (row_weight && (program.dtype(row_weight) != DType::f32 || row_weight.columns != 1 ||
                     !program.is_whole(row_weight) || program.rows(row_weight) != rows)) {
    throw std::logic_error("swiglu " + program.scope() + ": row_weight must be [rows, 1] f32");
  }
  if (row_count && (program.dtype(row_count) != DType::i32 || row_count.columns != 1)) {
    throw std::logic_error("swiglu " + program.scope() + ": row_count must be one i32");
  }
  const Tensor h = program.activation("h", {rows, gate_up.columns / 2}, program.dtype(gate_up));
  program.append(kSwiglu, {gate_up, row_weight, row_count}, {h});
  return h;
}

}  // namespace ingot

#include "ops/combine/combine.h"

#include <stdexcept>

#include "engine/program/autodiff.h"
#include "ops/add/add.h"

namespace ingot {
namespace {

void combine_gradient(Gradients& gradients, const Op& op) {
  const Tensor y = op.outputs[0], rows = op.inputs[0], row_of = op.inputs[1];
  const Tensor residual = op.inputs[2], slot_of = op.inputs[3], row_count = op.inputs[4];
  const Tensor dy = gradients.of(y);
  if (!dy) return;
  if (const auto d_rows = gradients.into(rows)) {
    gradients.program().append(
        kPermute, {dy, slot_of, row_count, row_of}, {d_rows.tensor},
        {{"slots", static_cast<double>(row_of.columns)}, {"accumulate", d_rows.accumulate}});
  }
  pass_gradient(gradients, y, residual);
}

}  // namespace

const OpKind kCombine{.name = "combine", .gradient = combine_gradient};

Tensor combine(Program& program, Tensor rows, const Dispatch& dispatch, Tensor residual) {
  if (program.rows(rows) != program.rows(dispatch.slot_of) ||
      program.rows(residual) != program.rows(dispatch.row_of) || residual.columns != rows.columns ||
      program.dtype(residual) != program.dtype(rows)) {
    throw std::logic_error("combine " + program.scope() + ": operands do not fit");
  }
  const Tensor y =
      program.activation("y", {program.rows(residual), rows.columns}, program.dtype(rows));
  program.append(kCombine,
                 {rows, dispatch.row_of, residual, dispatch.slot_of, dispatch.row_count()}, {y});
  return y;
}

}  // namespace ingot

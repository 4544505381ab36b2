#include "ops/dispatch/dispatch.h"

#include <stdexcept>

#include "engine/program/autodiff.h"

namespace ingot {
namespace {

void permute_gradient(Gradients& gradients, const Op& op) {
  const Tensor d_rows = gradients.of(op.outputs[0]);
  if (!d_rows) return;
  if (const auto dx = gradients.into(op.inputs[0])) {
    gradients.program().append(
        kSumRows, {d_rows, op.inputs[3], dx.accumulate ? dx.tensor : Tensor{}}, {dx.tensor});
  }
}

void permute_weights_gradient(Gradients& gradients, const Op& op) {
  const Tensor d_rows = gradients.of(op.outputs[0]);
  if (!d_rows) return;
  if (const auto d_weights = gradients.into(op.inputs[0])) {
    gradients.program().append(kUnpermuteWeights, {d_rows, op.inputs[3]}, {d_weights.tensor},
                               {{"accumulate", d_weights.accumulate}});
  }
}

void check_tokens(const Program& program, Tensor x, const Dispatch& dispatch) {
  if (program.rows(x) != program.rows(dispatch.row_of)) {
    throw std::logic_error("permute " + program.scope() + ": not the tokens that were dispatched");
  }
}

}  // namespace

const OpKind kDispatch{.name = "dispatch"};
const OpKind kPermute{.name = "permute", .gradient = permute_gradient};
const OpKind kSumRows{.name = "sum_rows"};
const OpKind kPermuteWeights{.name = "permute_weights", .gradient = permute_weights_gradient};
const OpKind kUnpermuteWeights{.name = "unpermute_weights"};

Dispatch dispatch(Program& program, Tensor chosen, std::int64_t experts) {
  if (program.dtype(chosen) != DType::i32 || !program.is_whole(chosen) || experts < 1) {
    throw std::logic_error("dispatch " + program.scope() + ": needs whole i32 experts");
  }
  const std::int64_t tokens = program.rows(chosen), slots = chosen.columns;
  const Dispatch made{
      .offsets = program.activation("offsets", {experts + 1}, DType::i32),
      .slot_of = program.activation("slot_of", {tokens * slots, 1}, DType::i32),
      .row_of = program.activation("row_of", {tokens, slots}, DType::i32),
  };
  program.append(kDispatch, {chosen}, {made.offsets, made.slot_of, made.row_of});
  return made;
}

Dispatch dispatch(Program& program, const Routing& routing) {
  return dispatch(program, routing.experts, routing.scores.columns);
}

Tensor permute(Program& program, Tensor x, const Dispatch& dispatch) {
  check_tokens(program, x, dispatch);
  const Shape shape{program.rows(dispatch.slot_of), x.columns};
  const Tensor rows = program.activation("rows", shape, program.dtype(x));
  program.append(kPermute, {x, dispatch.slot_of, dispatch.row_count(), dispatch.row_of}, {rows},
                 {{"slots", static_cast<double>(dispatch.slots())}, {"accumulate", 0}});
  return rows;
}

Tensor permute_weights(Program& program, Tensor weights, const Dispatch& dispatch) {
  check_tokens(program, weights, dispatch);
  if (program.dtype(weights) != DType::f32 || weights.columns != dispatch.slots() ||
      !program.is_whole(weights)) {
    throw std::logic_error("permute_weights " + program.scope() + ": needs [tokens, slots] f32");
  }
  const Tensor row_weights =
      program.activation("row_weights", {program.rows(dispatch.slot_of), 1}, DType::f32);
  program.append(kPermuteWeights,
                 {weights, dispatch.slot_of, dispatch.row_count(), dispatch.row_of}, {row_weights});
  return row_weights;
}

}  // namespace ingot

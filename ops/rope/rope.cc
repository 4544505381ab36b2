#include "ops/rope/rope.h"

#include <stdexcept>

#include "engine/program/autodiff.h"

namespace ingot {
namespace {

void rope_gradient(Gradients& gradients, const Op& op);

Cost rope_cost(const Program& program, const Op& op) {
  const Attributes& a = op.attributes;
  const double pairs =
      static_cast<double>(program.rows(op.inputs[0]) * a.integer("count") * a.integer("half"));
  return {6 * pairs, 4 * pairs * size_of(program.dtype(op.inputs[0]))};
}

}  // namespace

const OpKind kRope{.name = "rope", .gradient = rope_gradient, .cost = rope_cost, .row_wise = true};

namespace {

// A rotation's transpose is the rotation by the opposite angle.
void rope_gradient(Gradients& gradients, const Op& op) {
  const Tensor gradient = gradients.of(op.outputs[0]);
  if (!gradient) return;
  Attributes attributes = op.attributes;
  attributes.set("inverse", op.attributes.flag("inverse") ? 0 : 1);
  gradients.program().append(kRope, {gradient, op.inputs[1], op.inputs[2]}, {gradient},
                             std::move(attributes));
}

}  // namespace

void rope(Program& program, Tensor x, Tensor table, Tensor positions, const RopeHeads& heads,
          bool interleaved) {
  if (heads.count < 1 || heads.half < 1 || heads.offset < 0 ||
      (heads.count > 1 && heads.offset + 2 * heads.half > heads.stride) ||
      (heads.count - 1) * heads.stride + heads.offset + 2 * heads.half > x.columns) {
    throw std::logic_error("rope: heads don't fit into the columns of x");
  }
  if (program.dtype(table) != DType::f32 || table.columns != 2 * heads.half ||
      !program.is_whole(table)) {
    throw std::logic_error("rope: the table must be [positions, 2 * half] f32");
  }
  if (program.dtype(positions) != DType::i32 ||
      program.info(positions).shape.elements() != program.rows(x)) {
    throw std::logic_error("rope: positions must be [tokens] i32");
  }
  program.append(kRope, {x, table, positions}, {x},
                 {{"count", static_cast<double>(heads.count)},
                  {"stride", static_cast<double>(heads.stride)},
                  {"offset", static_cast<double>(heads.offset)},
                  {"half", static_cast<double>(heads.half)},
                  {"interleaved", interleaved},
                  {"inverse", 0}});
}

}  // namespace ingot

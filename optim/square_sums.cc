#include "optim/square_sums.h"

namespace ingot {
namespace {

// The last op that writes each tensor, by id; null: none.
std::vector<Op*> last_writers(Program& program) {
  std::vector<Op*> writers(program.tensors().size());
  for (Op& op : program.ops()) {
    for (const Tensor t : op.outputs) {
      if (t) writers[t.id] = &op;
    }
  }
  return writers;
}

// How many sums an op leaves of a gradient; 0: it can't.
std::int64_t sums_of(const Op& op, const Shape& gradient) {
  const bool can = op.part == Part::micro_step && op.kind->square_sums != nullptr;
  return can ? op.kind->square_sums(gradient) : 0;
}

}  // namespace

NormOperands leave_square_sums(Program& program, const std::vector<Tensor>& gradients) {
  const std::vector<Op*> writers = last_writers(program);
  NormOperands operands;
  for (const Tensor gradient : gradients) {
    const TensorInfo info = program.info(gradient);
    Op* writer = writers[gradient.id];
    const std::int64_t count = writer == nullptr ? 0 : sums_of(*writer, info.shape);
    if (count == 0) {
      operands.gradients.push_back(gradient);
      continue;
    }
    const Tensor sums = program.add_tensor_as_named({.name = info.name + " squares",
                                                     .shape = {count},
                                                     .role = Role::gradient,
                                                     .lifetime = Lifetime::parts,
                                                     .layer = info.layer});
    writer->outputs.push_back(sums);
    operands.sums.push_back(sums);
  }
  return operands;
}

}  // namespace ingot

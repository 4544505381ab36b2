#include "optim/gradient_sums.h"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/program/gradient_start.h"
#include "ops/accumulate_gradient/accumulate_gradient.h"

namespace ingot {
namespace {

bool writes(const Op& op, Tensor t) {
  return std::any_of(op.outputs.begin(), op.outputs.end(),
                     [&](Tensor output) { return output.id == t.id; });
}

// Every op that overwrote the sum at first now overwrites what is only this micro-step's. Returns
// the last that writes it.
std::size_t start_in_each_micro_step(Program& program, Tensor gradient, std::size_t end) {
  std::size_t last = end;
  for (std::size_t i = 0; i < end; ++i) {
    Op& op = program.ops()[i];
    if (!writes(op, gradient)) continue;
    last = i;
    if (op.attributes.flag("first")) op.attributes.set("first", kFirstInMicroStep);
  }
  return last;
}

}  // namespace

void sum_gradients_in(Program& program, StateForm form) {
  const At backward(program, Cursor{.phase = Phase::backward});
  const std::size_t end = program.ops().size();
  std::vector<std::size_t> after;
  for (Weight& weight : program.weights()) {
    const Tensor gradient = weight.gradient.values;
    if (!gradient || program.info(gradient).shape.rank() < 2) continue;
    const std::size_t last = start_in_each_micro_step(program, gradient, end);
    if (last == end) continue;
    const TensorInfo info = program.info(gradient);
    program.info(gradient).name += " of a micro-step";
    program.info(gradient).lifetime = Lifetime::transient;
    const Scope scope(program, weight.name, info.layer);
    weight.gradient = add_state(program, "sum of gradients", info.shape, form, Role::gradient);
    accumulate_gradient(program, gradient, weight);
    after.push_back(last);
  }
  program.move_ops(end, after);
}

}  // namespace ingot

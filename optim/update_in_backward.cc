#include "optim/update_in_backward.h"

#include <algorithm>
#include <stdexcept>

#include "ops/weight_norm/weight_norm.h"

namespace ingot {
namespace {

// The last op of the micro-step that touches each tensor.
std::vector<std::size_t> last_uses(const Program& program) {
  std::vector<std::size_t> last(program.tensors().size(), 0);
  for (std::size_t i = 0; i < program.ops().size(); ++i) {
    for_operands(program.ops()[i], [&](Tensor t) { last[t.id] = i; });
  }
  return last;
}

}  // namespace

std::vector<Tensor> update_in_backward(
    Program& program, double clip_norm,
    const std::function<void(const Weight&, Tensor scale, Tensor skipped)>& append_update) {
  if (program.part() != Part::micro_step) {
    throw std::logic_error("update_in_backward: in the micro-step only");
  }
  const std::vector<std::size_t> last = last_uses(program);
  const std::size_t end = program.ops().size();
  std::vector<Tensor> norms;
  std::vector<std::size_t> after;
  const At update(program, Cursor{.phase = Phase::update});
  for (const Weight& weight : program.weights()) {
    if (weight.learning != Learning::gradient) continue;
    const Tensor gradient = weight.gradient.values;
    program.info(gradient).lifetime = Lifetime::transient;
    const Scope scope(program, weight.name, program.info(weight.compute).layer);
    const WeightNorm norm = weight_norm(program, gradient, clip_norm);
    append_update(weight, norm.scale, norm.skipped);
    norms.push_back(norm.norm);
    after.resize(program.ops().size() - end, std::max(last[gradient.id], last[weight.compute.id]));
  }
  program.move_ops(end, after);
  return norms;
}

}  // namespace ingot

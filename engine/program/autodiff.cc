#include "engine/program/autodiff.h"

#include <algorithm>
#include <stdexcept>

namespace ingot {

Gradients::Buffer& Gradients::buffer_of(Tensor t) {
  if (buffers_.size() < program_.tensors().size()) buffers_.resize(program_.tensors().size());
  return buffers_[t.id];
}

bool Gradients::covered(const Buffer& buffer, Tensor view) const {
  // Rules write whole operands, so a view that is covered is a union of written intervals.
  std::int64_t count = 0;
  for (const auto& [first, last] : buffer.written) {
    const std::int64_t begin = std::max(first, view.column);
    const std::int64_t end = std::min(last, view.column + view.columns);
    count += std::max<std::int64_t>(0, end - begin);
  }
  if (count != 0 && count != view.columns) {
    throw std::logic_error("gradient of " + program_.info(view).name +
                           " is written in some columns only");
  }
  return count != 0;
}

Tensor Gradients::of(Tensor output) const {
  if (static_cast<std::size_t>(output.id) >= buffers_.size()) return {};
  const Buffer& buffer = buffers_[output.id];
  if (!buffer.tensor || !covered(buffer, output)) return {};
  return {buffer.tensor.id, output.column, output.columns};
}

bool Gradients::wanted(Tensor input) const {
  return input && static_cast<std::size_t>(input.id) < needed_.size() && needed_[input.id];
}

Gradients::Target Gradients::into_weight(Tensor gradient) {
  Buffer& buffer = buffer_of(gradient);
  const bool first = !covered(buffer, gradient);
  if (first) buffer.written.emplace_back(gradient.column, gradient.column + gradient.columns);
  return {gradient, true, first};
}

Gradients::Target Gradients::into(Tensor input) {
  if (!wanted(input)) return {};
  if (const Weight* weight = program_.weight_of(input)) {
    return into_weight({weight->gradient.values.id, input.column, input.columns});
  }
  Buffer& buffer = buffer_of(input);
  if (!buffer.tensor) {
    const TensorInfo& info = program_.info(input);
    TensorInfo gradient{.name = "gradient of " + info.name,
                        .shape = info.shape,
                        .dtype = info.dtype,
                        .layer = info.layer};
    const Tensor made = program_.add_tensor_as_named(std::move(gradient));
    buffer_of(input).tensor = made;  // add_tensor may have moved the buffers' program vector
    Buffer& fresh = buffer_of(input);
    fresh.written.emplace_back(input.column, input.column + input.columns);
    return {{made.id, input.column, input.columns}, false};
  }
  const bool accumulate = covered(buffer, input);
  if (!accumulate) buffer.written.emplace_back(input.column, input.column + input.columns);
  return {{buffer.tensor.id, input.column, input.columns}, accumulate};
}

bool Gradients::share(Tensor output, Tensor input) {
  const Tensor gradient = of(output);
  if (!gradient || !wanted(input)) return true;
  Buffer& buffer = buffer_of(input);
  if (buffer.tensor || !program_.is_whole(input) || !program_.is_whole(output)) return false;
  buffer.tensor = gradient;
  buffer.written = {{0, input.columns}};
  return true;
}

void differentiate(Program& program) {
  const std::size_t end = program.ops().size();
  std::size_t begin = end;
  while (begin > 0 && program.ops()[begin - 1].part == program.part()) --begin;

  Gradients gradients(program);
  gradients.needed_.assign(program.tensors().size(), false);
  for (const Weight& weight : program.weights()) {
    if (weight.learning == Learning::gradient) gradients.needed_[weight.compute.id] = true;
  }
  for (std::size_t i = begin; i < end; ++i) {
    const Op& op = program.ops()[i];
    if (op.kind->gradient == nullptr) continue;
    const bool any = std::any_of(op.inputs.begin(), op.inputs.end(),
                                 [&](Tensor t) { return gradients.wanted(t); });
    if (!any) continue;
    for (const Tensor t : op.outputs) {
      if (t && is_float(program.dtype(t))) gradients.needed_[t.id] = true;
    }
  }

  std::vector<std::size_t> fused;
  for (std::size_t i = end; i-- > begin;) {
    const Op op = program.ops()[i];  // a copy: rules append, which moves the ops
    if (op.kind->gradient == nullptr) continue;
    const At beside(program, op, Phase::backward);
    op.kind->gradient(gradients, op);
    if (op.kind->forward_in_gradient) fused.push_back(i);
  }
  std::reverse(fused.begin(), fused.end());
  program.remove_ops(fused);
}

}  // namespace ingot

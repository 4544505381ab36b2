#include "compress/passes/int8_weights.h"

#include <vector>

#include "ops/state_forms/state_forms.h"

namespace ingot {
namespace {

// Whether the op can read its weight as codes, with their scales as a last input.
bool reads_coded_weight(const Op& op) {
  return op.kind->weight_operand >= 0 && op.kind->codes_operand == op.kind->weight_operand;
}

// By tensor: whether something is decided by it.
std::vector<bool> exact_tensors(const Program& program) {
  std::vector<bool> exact(program.tensors().size());
  for (const Op& op : program.ops()) {
    if (op.kind->exact_operand >= 0) exact[op.inputs[op.kind->exact_operand].id] = true;
  }
  return exact;
}

// By tensor: whether all that use it can read codes instead.
std::vector<bool> readable_as_codes(const Program& program) {
  std::vector<bool> readable(program.tensors().size(), true);
  const std::vector<bool> exact = exact_tensors(program);
  for (const Op& op : program.ops()) {
    const bool reads = reads_coded_weight(op) && !exact[op.outputs[0].id];
    for (int i = 0; i < static_cast<int>(op.inputs.size()); ++i) {
      const Tensor t = op.inputs[i];
      if (t && !(reads && i == op.kind->weight_operand)) readable[t.id] = false;
    }
  }
  return readable;
}

}  // namespace

void store_weights_in_int8(Program& program) {
  const std::vector<bool> readable = readable_as_codes(program);
  std::vector<WeightState> coded(program.tensors().size());
  for (Weight& weight : program.weights()) {
    if (weight.shape.rank() < 2 || !readable[weight.compute.id]) continue;
    weight.value =
        add_state(program, weight.name + " codes", weight.shape, StateForm::int8, Role::weight);
    coded[weight.compute.id] = weight.value;
    program.info(weight.compute).lifetime = Lifetime::transient;  // and used by nothing
  }
  for (Op& op : program.ops()) {
    if (!reads_coded_weight(op)) continue;
    Tensor& weight = op.inputs[op.kind->weight_operand];
    const WeightState codes = coded[weight.id];
    if (!codes) continue;
    weight = codes.values;
    op.inputs.push_back(codes.extra);
    set_cost(program, op);
  }
}

}  // namespace ingot

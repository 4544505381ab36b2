#include "compress/passes/int8_weights.h"

#include <string_view>
#include <vector>

#include "ops/state_forms/state_forms.h"

namespace ingot {
namespace {

// Kinds whose second input may be codes, and which input their scales are then.
struct Reader {
  std::string_view kind;
  std::size_t scales;
};
constexpr Reader kReaders[] = {{"linear", 4}, {"grouped_linear", 3}, {"embedding", 2}};

const Reader* reader_of(const Op& op) {
  for (const Reader& reader : kReaders) {
    if (op.kind->name == reader.kind) return &reader;
  }
  return nullptr;
}

// By tensor: whether a router reads it.
std::vector<bool> routers_scores(const Program& program) {
  std::vector<bool> scores(program.tensors().size());
  for (const Op& op : program.ops()) {
    if (op.kind->name == "route") scores[op.inputs[0].id] = true;
  }
  return scores;
}

// By tensor: whether all that use it can read codes instead.
std::vector<bool> readable_as_codes(const Program& program) {
  std::vector<bool> readable(program.tensors().size(), true);
  const std::vector<bool> scores = routers_scores(program);
  for (const Op& op : program.ops()) {
    const bool reads = reader_of(op) != nullptr && !scores[op.outputs[0].id];
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      if (op.inputs[i] && !(reads && i == 1)) readable[op.inputs[i].id] = false;
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
    const Reader* reader = reader_of(op);
    if (reader == nullptr || !coded[op.inputs[1].id]) continue;
    const WeightState& codes = coded[op.inputs[1].id];
    op.inputs[1] = codes.values;
    op.inputs.resize(reader->scales + 1);
    op.inputs[reader->scales] = codes.extra;
    set_cost(program, op);
  }
}

}  // namespace ingot

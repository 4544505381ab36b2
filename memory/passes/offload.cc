#include "memory/passes/offload.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "engine/program/rewrite_ops.h"
#include "ops/quantize/quantize.h"
#include "ops/transfer/transfer.h"

namespace ingot {
namespace {

// Less than a page is not worth an op.
constexpr std::int64_t kLeastBytes = 4096;

bool leaves(const TensorInfo& info, OffloadSet set) {
  if (info.lifetime != Lifetime::persistent || info.bytes() < kLeastBytes) return false;
  switch (info.role) {
    case Role::optimizer_state:
      return set >= OffloadSet::states;
    case Role::master:
      return set >= OffloadSet::masters;
    case Role::gradient:
    case Role::weight:
      return set >= OffloadSet::all;
    default:
      return false;
  }
}

bool is_offloaded(const Program& program, Tensor t) {
  return t && program.info(t).place == Place::offload;
}

// The offloaded tensors among an op's operands, each once.
std::vector<Tensor> offloaded_operands(const Program& program, const Op& op) {
  std::vector<Tensor> found;
  for_operands(op, [&](Tensor t) {
    const auto same = [&](Tensor other) { return other.id == t.id; };
    if (is_offloaded(program, t) && std::none_of(found.begin(), found.end(), same)) {
      found.push_back(program.whole(t.id));
    }
  });
  return found;
}

}  // namespace

std::string_view name_of(OffloadSet set) {
  constexpr std::string_view kNames[] = {"none", "states", "masters", "all"};
  return kNames[static_cast<int>(set)];
}

void offload(Program& program, OffloadSet set) {
  for (int id = 0; id < static_cast<int>(program.tensors().size()); ++id) {
    TensorInfo& info = program.info(program.whole(id));
    if (leaves(info, set)) info.place = Place::offload;
  }
  rewrite_ops(program, [&](const std::vector<Op>& ops, std::size_t i) {
    Op op = ops[i];
    const std::vector<Tensor> list = offloaded_operands(program, op);
    for (const Tensor offloaded : list) {
      const Tensor copy = fetch(program, offloaded);
      for (auto* operands : {&op.inputs, &op.outputs}) {
        for (Tensor& t : *operands) {
          if (t.id == offloaded.id) t.id = copy.id;
        }
      }
    }
    const std::vector<Tensor> written = op.outputs;
    const Op& original = ops[i];
    program.append(std::move(op));
    for (const Tensor offloaded : list) {
      for (std::size_t k = 0; k < written.size(); ++k) {
        if (original.outputs[k].id != offloaded.id) continue;
        store(program, program.whole(written[k].id), offloaded);
        break;
      }
    }
  });
}

void restore_weights(Program& program) {
  const auto weights = program.weights();
  const auto coded = [](const Weight& weight) { return weight.value.form == StateForm::int8; };
  if (std::none_of(weights.begin(), weights.end(), coded)) return;
  // By tensor id: the weight, and its copy with where that was made.
  std::vector<const Weight*> stored(program.tensors().size());
  for (const Weight& weight : weights) {
    if (coded(weight)) stored[weight.compute.id] = &weight;
  }
  struct Copy {
    Tensor tensor;
    std::tuple<Part, Phase, int> place;
  };
  std::vector<Copy> copies(program.tensors().size());
  rewrite_ops(program, [&](const std::vector<Op>& ops, std::size_t i) {
    Op op = ops[i];
    for (Tensor& t : op.inputs) {
      if (!t || static_cast<std::size_t>(t.id) >= stored.size() || stored[t.id] == nullptr) {
        continue;
      }
      const Weight& weight = *stored[t.id];
      Copy& copy = copies[t.id];
      const std::tuple place{op.part, op.phase, op.layer};
      if (!copy.tensor || copy.place != place) {
        TensorInfo info = program.info(weight.compute);
        info.name += " here";
        copy = {program.add_tensor_as_named(std::move(info)), place};
        dequantize(program, {weight.value.values, weight.value.extra}, copy.tensor);
      }
      t.id = copy.tensor.id;
    }
    program.append(std::move(op));
  });
}

}  // namespace ingot

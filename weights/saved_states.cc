#include "weights/saved_states.h"

#include <algorithm>
#include <map>
#include <utility>

#include "io/checkpoint_files.h"
#include "weights/cut.h"
#include "weights/stored_state.h"
#include "weights/weight_copy.h"

namespace ingot {
namespace {

// What is saved of a weight, and what stands behind its name then.
struct Suffix {
  WeightState Weight::*state;
  const char* text;
};
constexpr Suffix kSuffixes[] = {{&Weight::value, ""},
                                {&Weight::first_moment, ".first_moment"},
                                {&Weight::second_moment, ".second_moment"}};

bool is_whole(const WeightPart& part) { return part.shape == part.whole; }

std::string entry_name(const SavedState& saved) {
  if (is_whole(*saved.part)) return saved.name;
  std::string name = saved.name + '@';
  for (int axis = 0; axis < saved.part->whole.rank(); ++axis) {
    name += (axis > 0 ? "," : "") + std::to_string(saved.part->first[axis]);
  }
  return name;
}

nlohmann::json block_json(const SavedState& saved) {
  const WeightPart& part = *saved.part;
  const auto rank = part.first.begin() + part.whole.rank();
  return {{"tensor", saved.name},
          {"whole", dims_of(part.whole)},
          {"first", std::vector<std::int64_t>(part.first.begin(), rank)}};
}

// In the order in which the files of a checkpoint have them.
std::vector<SavedTensor> in_order_of_bytes(std::vector<SavedTensor> tensors,
                                           const std::vector<TensorDeclaration>& declarations) {
  std::map<std::string_view, SavedTensor*> by_name;
  for (SavedTensor& tensor : tensors) by_name[tensor.declaration.name] = &tensor;
  std::vector<SavedTensor> ordered;
  for (const auto& shard : deal_to_shards(declarations, kCheckpointShardBytes)) {
    for (const TensorDeclaration& declaration : shard) {
      ordered.push_back(*by_name.at(declaration.name));
    }
  }
  return ordered;
}

}  // namespace

std::vector<bool> saved_sets(const Program& program) {
  std::vector<bool> saved(program.sets().size());
  for (const Weight& weight : program.weights()) {
    if (weight.learning != Learning::frozen) saved[weight.set] = true;
  }
  if (std::find(saved.begin(), saved.end(), true) == saved.end()) saved[0] = true;
  return saved;
}

std::vector<bool> only_set(const Program& program, int set) {
  std::vector<bool> sets(program.sets().size());
  sets.at(set) = true;
  return sets;
}

std::vector<SavedState> saved_states(const Program& program, const std::vector<bool>& sets) {
  std::vector<SavedState> saved;
  for (const Weight& weight : program.weights()) {
    if (!sets[weight.set]) continue;
    for (const WeightPart& part : weight.parts) {
      for (const auto& [state, text] : kSuffixes) {
        if (weight.*state) saved.push_back({part.name + text, &weight, &part, state});
      }
    }
  }
  std::sort(saved.begin(), saved.end(),
            [](const SavedState& a, const SavedState& b) { return a.name < b.name; });
  return saved;
}

SavedTensors::SavedTensors(const Program& program) {
  for (const SavedState& saved : saved_states(program, saved_sets(program))) {
    if (!saved.weight->owner) continue;
    const std::string name = entry_name(saved);
    const WeightState& state = saved.state();
    const StateDeclarations declared = declare_state(name, state.form, dims_of(saved.part->shape));
    const PartBytes place = part_bytes(program, state, *saved.part);
    add({declared.values, state.values, place.values_offset, place.values_bytes});
    if (declared.extra) {
      add({*declared.extra, state.extra, place.extra_offset, place.extra_bytes});
    }
    if (!is_whole(*saved.part)) blocks[name] = block_json(saved);
  }
  tensors = in_order_of_bytes(std::move(tensors), declarations);
}

void SavedTensors::add(SavedTensor tensor) {
  bytes += tensor.bytes;
  declarations.push_back(tensor.declaration);
  tensors.push_back(std::move(tensor));
}

}  // namespace ingot

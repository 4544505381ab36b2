// Which states of a program's weights a checkpoint holds, under which names, and where their bytes
// lie: every weight of each set that learns, frozen ones too, and its moments.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/program/program.h"
#include "io/stored_type.h"

namespace ingot {

// One state of one part of a weight.
struct SavedState {
  std::string name;  // of the checkpoint's tensor
  const Weight* weight;
  const WeightPart* part;
  WeightState Weight::*which;

  const WeightState& state() const { return weight->*which; }
};

// By set: whether its weights are saved, since one of them learns. Where nothing does (evaluation,
// generation) it is the model that is loaded.
std::vector<bool> saved_sets(const Program& program);
std::vector<bool> only_set(const Program& program, int set);

// Every state of the weights of some sets, by name.
std::vector<SavedState> saved_states(const Program& program, const std::vector<bool>& sets);

// The bytes of one tensor of a checkpoint, where they lie in an executor of the program.
struct SavedTensor {
  TensorDeclaration declaration;
  Tensor tensor;
  std::int64_t offset = 0, bytes = 0;
};

// All of a checkpoint's tensors.
struct SavedTensors {
  explicit SavedTensors(const Program& program);

  std::vector<TensorDeclaration> declarations;       // for CheckpointWriter
  std::vector<SavedTensor> tensors;                  // in the order in which it wants their bytes
  nlohmann::json blocks = nlohmann::json::object();  // the manifest's section of that name
  std::int64_t bytes = 0;                            // of all of them

 private:
  void add(SavedTensor tensor);
};

}  // namespace ingot

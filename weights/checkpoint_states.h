// The states in an open checkpoint, each one tensor or several blocks of one, and parts of them,
// however they were cut when they were written.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/checkpoint_files.h"
#include "weights/cut.h"
#include "weights/stored_state.h"

namespace ingot {

struct CheckpointState {
  Shape whole;
  std::vector<StoredBlock> blocks;  // that cover the tensor, each element once
};

class CheckpointStates {
 public:
  // Keeps the reader. Error(data) when the manifest's "blocks" are malformed.
  explicit CheckpointStates(const CheckpointReader& reader);

  bool has(const std::string& name) const;
  // Error(data) as find_block(), or when blocks do not cover the tensor.
  CheckpointState at(const std::string& name) const;

 private:
  struct Block {
    std::string name;
    Shape whole;
    Point first{};
  };
  const CheckpointReader& reader_;
  std::map<std::string, std::vector<Block>> blocks_;  // by the tensor's name
};

// The values of a part, in fp32.
void read_part(const CheckpointState& state, const WeightPart& part, std::span<float> values);

// The bytes of a part in a form that is not plain, as they were written. False, and nothing is
// promised of the bytes, where a block is in another form or its groups are not those of the part.
bool read_raw(const CheckpointState& state, StateForm form, const WeightPart& part,
              std::span<std::byte> values, std::span<std::byte> extra);

// Gives the pages back that reading took.
void release(const CheckpointReader& reader, const CheckpointState& state);

}  // namespace ingot

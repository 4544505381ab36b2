// Moves one checkpoint tensor (a part of a fused weight) between fp32 host memory and the executor,
// whatever form the executor keeps it in (ops/state_forms).
#pragma once

#include <span>

#include "engine/execution/executor.h"
#include "ops/state_forms/state_forms.h"

namespace ingot {

// A form whose elements stand for themselves: no groups and nothing beside them.
inline bool is_plain(StateForm form) { return form <= StateForm::f16; }

// Reads a part of a state in fp32. Forms that are not plain are read and written in whole rows of
// the fused weight (parts of checkpoints are such).
void read_weight_part(const Executor& executor, const WeightState& state, const WeightPart& part,
                      std::span<float> values);

// Overwrites a part of one of the weight's states, rounding to nearest; of the value, also the copy
// that ops read.
void write_weight_part(Executor& executor, const Weight& weight, WeightState Weight::*state,
                       const WeightPart& part, std::span<const float> values);

// The bytes that hold a part: of the values and of what is beside them (empty for plain forms).
struct PartBytes {
  std::int64_t values_offset = 0, values_bytes = 0, extra_offset = 0, extra_bytes = 0;
};
PartBytes part_bytes(const Program& program, const WeightState& state, std::int64_t first,
                     std::int64_t count);

}  // namespace ingot

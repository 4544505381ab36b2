// Moves parts of weights (tensors of checkpoints, or rectangles of such) between fp32 host memory
// and the executor, whatever form the executor keeps them in (ops/state_forms).
#pragma once

#include <span>

#include "engine/execution/executor.h"
#include "ops/state_forms/state_forms.h"
#include "weights/cut.h"

namespace ingot {

// A form whose elements stand for themselves: no groups and nothing beside them.
inline bool is_plain(StateForm form) { return form <= StateForm::f16; }
// Whether a form codes groups of a row's elements together.
inline bool is_grouped(StateForm form) { return form >= StateForm::int8; }

// Reads a part of a state in fp32. Forms that are not plain are read and written in whole rows of
// the weight.
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
PartBytes part_bytes(const Program& program, const WeightState& state, const WeightPart& part);

// Overwrites a part with its bytes, in the state's form.
void write_raw_part(Executor& executor, const WeightState& state, const WeightPart& part,
                    std::span<const std::byte> values, std::span<const std::byte> extra);

}  // namespace ingot

// Moves one checkpoint tensor (a part of a fused weight) between fp32 host memory and the executor.
#pragma once

#include <span>
#include <vector>

#include "engine/executor.h"

namespace ingot {

// Writes the master (or the weight itself) and the copy in compute precision.
void write_weight_part(Executor& executor, const Weight& weight, const WeightPart& part,
                       std::span<const float> values);

// Which of the tensors that belong to a weight.
enum class WeightState { value, gradient, first_moment, second_moment };

// Reads a part in fp32; `value` is the master's, when there is one.
void read_weight_part(const Executor& executor, const Weight& weight, const WeightPart& part,
                      WeightState state, std::span<float> values);

// Overwrites a part of an fp32 state; for `value` use write_weight_part().
void write_state_part(Executor& executor, const Weight& weight, const WeightPart& part,
                      WeightState state, std::span<const float> values);

// The tensor of a weight's state; null when it has none.
Tensor state_tensor(const Weight& weight, WeightState state);

}  // namespace ingot

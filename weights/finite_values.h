// What is read into a run or a checkpoint must be numbers.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "weights/cut.h"

namespace ingot {

// values: of `piece`, row by row. Throws Error(data) naming the tensor and the first row that holds
// a NaN or an infinity.
void require_finite(const std::string& name, const WeightPart& piece, std::span<const float> values,
                    const std::string& where);

}  // namespace ingot

// What is read into a run or a checkpoint must be numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "io/stored_type.h"
#include "weights/cut.h"

namespace ingot {

// Whether none of these is a NaN or an infinity. What is stored in codes is taken as it is.
bool all_finite(StoredType type, std::span<const std::byte> raw);

// values: of `piece`, row by row. Throws Error(data) naming the tensor and the first row that holds
// a NaN or an infinity.
void require_finite(const std::string& name, const WeightPart& piece, std::span<const float> values,
                    const std::string& where);

}  // namespace ingot

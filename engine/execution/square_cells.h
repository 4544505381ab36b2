// The parts of a matrix whose squares are summed (square_sums.h). Constants only: kernels compiled
// per instruction set include this.
#pragma once

#include <cstdint>

namespace ingot {

constexpr std::int64_t kCellRows = 24, kCellColumns = 64;

}  // namespace ingot

// Which random numbers the rows of a weight are rounded by: those of the checkpoint's tensor that a
// row lies in, at its place in the whole of it. So a fused weight rounds as its parts do alone, and
// a block of a tensor as the whole: however a program cuts it, the same bits.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/program/program.h"

namespace ingot {

// Rows of a weight, one after the other here and in the whole tensor. Columns are cut at multiples
// of kRoundingBlock: between them numbers are another cut's neighbours, as good as any.
struct DrawnRows {
  std::int64_t end = 0;              // the first row of the weight behind them
  std::uint64_t stream = 0;          // random_stream(the part's name)
  std::int64_t row = 0, column = 0;  // of the whole tensor: where the first of them begins
};

// All rows of a weight, in order. Of a vector, which is one row, and whose states round nothing,
// those of its first part.
std::vector<DrawnRows> drawn_rows(const Weight& weight);

// The same for the weight that an op is named after: those of updates and of sums of gradients are.
// Throws std::logic_error when there is none.
std::vector<DrawnRows> drawn_rows(const Program& program, const Op& op);

}  // namespace ingot

// Sums of the squares of a gradient, left behind by the op that writes it last while it is in the
// cache, so that the norm of all gradients need not read it again. Each sum is of a fixed part of
// the gradient, in fp32 and in a fixed order, so that the bits do not depend on the threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/execution/backend.h"
#include "engine/execution/square_cells.h"
#include "engine/program/program.h"

namespace ingot {

// A matrix product leaves one sum for each cell of its result: [matrices][rows of cells][columns
// of cells]; the last cells of a row or column may be smaller. Every tile of a product is made of
// whole cells.
constexpr std::int64_t cells_in(std::int64_t count, std::int64_t cell) {
  return (count + cell - 1) / cell;
}
// Of one matrix.
constexpr std::int64_t cells_of(std::int64_t rows, std::int64_t columns) {
  return cells_in(rows, kCellRows) * cells_in(columns, kCellColumns);
}

// Of the gradient of a weight, [rows, columns] or [experts, rows, columns]: OpKind::square_sums.
inline std::int64_t product_square_sums(const Shape& gradient) {
  const std::int64_t matrices = gradient.rank() == 3 ? gradient[0] : 1;
  return matrices * cells_of(gradient.rows() / matrices, gradient.last());
}

// Where an op is to leave them now: in its last output, if it has more outputs than it needs.
class SquareSums {
 public:
  SquareSums(const Op& op, std::size_t outputs_without)
      : output_(op.outputs.size() > outputs_without ? static_cast<int>(outputs_without) : -1) {}

  // Null: nobody asked, or a later micro-step of this update writes the gradient again.
  float* operator()(const KernelArguments& arguments, const Turn& turn) const {
    if (output_ < 0 || !turn.last) return nullptr;
    return arguments.output<float>(output_);
  }

 private:
  int output_;
};

}  // namespace ingot

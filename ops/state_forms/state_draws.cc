#include "ops/state_forms/state_draws.h"

#include <algorithm>
#include <stdexcept>

#include "engine/numbers/random.h"

namespace ingot {
namespace {

// The row of the whole tensor that a part's row is.
std::int64_t row_in_whole(const WeightPart& part, std::int64_t row) {
  std::int64_t in_whole = 0, stride = 1;
  for (int axis = part.shape.rank() - 2; axis >= 0; --axis) {
    in_whole += (part.first[axis] + row % part.shape[axis]) * stride;
    row /= part.shape[axis];
    stride *= part.whole[axis];
  }
  return in_whole;
}

}  // namespace

std::vector<DrawnRows> drawn_rows(const Weight& weight) {
  std::vector<DrawnRows> all;
  for (const WeightPart& part : weight.parts) {
    const std::int64_t before = all.empty() ? 0 : all.back().end;
    const std::uint64_t stream = random_stream(part.name);
    const int rank = part.shape.rank();
    const std::int64_t column = rank == 0 ? 0 : part.first[rank - 1];
    // A block of two leading axes or more jumps in the whole tensor where the last of them ends.
    const std::int64_t unbroken = rank < 3 ? part.shape.rows() : part.shape[rank - 2];
    for (std::int64_t row = 0; row < part.shape.rows(); row += unbroken) {
      all.push_back({before + row + unbroken, stream, row_in_whole(part, row), column});
    }
    if (rank < 2) break;
  }
  if ((all.empty() ? 0 : all.back().end) != weight.shape.rows()) {
    throw std::logic_error("the parts of " + weight.name + " do not cover its rows");
  }
  return all;
}

std::vector<DrawnRows> drawn_rows(const Program& program, const Op& op) {
  const auto weight = std::ranges::find(program.weights(), op.name, &Weight::name);
  if (weight == program.weights().end()) throw std::logic_error("no weight is called " + op.name);
  return drawn_rows(*weight);
}

}  // namespace ingot

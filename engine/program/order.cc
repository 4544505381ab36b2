#include "engine/program/order.h"

#include <algorithm>

namespace ingot {
namespace {

bool any_in(const std::vector<Tensor>& some, const std::vector<Tensor>& others) {
  return std::ranges::any_of(some, [&](Tensor t) { return touches(others, t); });
}

}  // namespace

bool overlap(Tensor a, Tensor b) {
  return a && a.id == b.id && a.column < b.column + b.columns && b.column < a.column + a.columns;
}

bool touches(const std::vector<Tensor>& operands, Tensor t) {
  return std::ranges::any_of(operands, [&](Tensor operand) { return overlap(operand, t); });
}

bool depends(const Op& later, const Op& earlier) {
  return any_in(later.inputs, earlier.outputs) || any_in(later.outputs, earlier.outputs) ||
         any_in(later.outputs, earlier.inputs);
}

}  // namespace ingot

// Which ops of a program must stay in their order.
#pragma once

#include <vector>

#include "engine/program/program.h"

namespace ingot {

// Whether two views have an element in common. Null tensors have none.
bool overlap(Tensor a, Tensor b);

// Whether one of these operands has an element in common with a tensor.
bool touches(const std::vector<Tensor>& operands, Tensor t);

// Whether the later op must stay behind the earlier one: they share an operand that one of them
// writes. The one predicate of order; passes that move ops ask it.
bool depends(const Op& later, const Op& earlier);

}  // namespace ingot

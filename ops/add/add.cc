#include "ops/add/add.h"

#include <stdexcept>

namespace ingot {

const OpKind kAddInto{.name = "add_into"};

void add_into(Program& program, Tensor x, Tensor into, bool accumulate) {
  if (program.rows(x) != program.rows(into) || x.columns != into.columns ||
      program.dtype(x) != program.dtype(into)) {
    throw std::logic_error("add_into: operands differ in shape or dtype");
  }
  program.append(kAddInto, {x}, {into}, {{"accumulate", accumulate}});
}

}  // namespace ingot

#include "ops/add/add.h"

#include <stdexcept>

namespace ingot {

const OpKind kAddInto{.name = "add_into", .row_wise = true};

void add_into(Program& program, Tensor x, Tensor into, bool accumulate) {
  if (program.rows(x) != program.rows(into) || x.columns != into.columns ||
      program.dtype(x) != program.dtype(into)) {
    throw std::logic_error("add_into: operands differ in shape or dtype");
  }
  program.append(kAddInto, {x}, {into}, {{"accumulate", accumulate}});
}

void pass_gradient(Gradients& gradients, Tensor output, Tensor input) {
  if (gradients.share(output, input)) return;
  const Gradients::Target target = gradients.into(input);
  add_into(gradients.program(), gradients.of(output), target.tensor, target.accumulate);
}

}  // namespace ingot

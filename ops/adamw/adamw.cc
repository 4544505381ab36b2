#include "ops/adamw/adamw.h"

namespace ingot {
namespace {

// Everything but the copy is read and all but the gradient written.
Cost adamw_cost(const Program& program, const Op& op) {
  Cost cost{.bytes = static_cast<double>(program.info(op.inputs[0]).bytes())};
  for (std::size_t i = 0; i < op.outputs.size(); ++i) {
    if (!op.outputs[i]) continue;
    const TensorInfo& info = program.info(op.outputs[i]);
    cost.bytes += static_cast<double>(info.bytes()) * (i < 3 ? 2 : 1);
    if (i == 0) cost.flops = 15.0 * static_cast<double>(info.shape.elements());
  }
  return cost;
}

}  // namespace

const OpKind kAdamw{.name = "adamw", .cost = adamw_cost};

void adamw(Program& program, const Weight& weight, Tensor scale, Tensor skipped,
           const AdamwOptions& options) {
  const Tensor copy = weight.master == weight.tensor ? Tensor{} : weight.tensor;
  program.append(kAdamw, {weight.gradient, scale, skipped},
                 {weight.master, weight.first_moment, weight.second_moment, copy},
                 {{"beta1", options.beta1},
                  {"beta2", options.beta2},
                  {"epsilon", options.epsilon},
                  {"decay", options.decay}});
}

}  // namespace ingot

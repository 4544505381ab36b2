#include "ops/adamw/adamw.h"

#include "ops/state_forms/state_forms.h"

namespace ingot {
namespace {

// The gradient is read, everything else read and written; a copy for compute is only written.
Cost adamw_cost(const Program& program, const Op& op) {
  const TensorInfo& weight = program.info(op.outputs[0]);
  Cost cost{.flops = 15.0 * static_cast<double>(weight.shape.elements()),
            .bytes = static_cast<double>(program.info(op.inputs[0]).bytes())};
  for (std::size_t i = 0; i < op.outputs.size(); ++i) {
    if (!op.outputs[i]) continue;
    const bool copy = i == 1 && weight.dtype == DType::f32;
    cost.bytes += static_cast<double>(program.info(op.outputs[i]).bytes()) * (copy ? 1 : 2);
  }
  return cost;
}

}  // namespace

const OpKind kAdamw{.name = "adamw", .cost = adamw_cost, .reads_step = true};

void adamw(Program& program, const Weight& weight, Tensor scale, Tensor skipped,
           const AdamwOptions& options) {
  const WeightState &value = weight.value, &first = weight.first_moment;
  const WeightState& second = weight.second_moment;
  const Tensor beside = value.extra ? value.extra : weight.rounded_copy();
  program.append(kAdamw, {weight.gradient.values, scale, skipped, program.progress()},
                 {value.values, beside, first.values, first.extra, second.values, second.extra},
                 {{"beta1", options.beta1},
                  {"beta2", options.beta2},
                  {"epsilon", options.epsilon},
                  {"decay", options.decay},
                  {"weight_form", static_cast<double>(value.form)},
                  {"first_form", static_cast<double>(first.form)},
                  {"second_form", static_cast<double>(second.form)}});
}

}  // namespace ingot

#include "ops/rms_norm/rms_norm.h"

#include <stdexcept>

#include "engine/program/autodiff.h"

namespace ingot {
namespace {

void rms_norm_gradient(Gradients& gradients, const Op& op) {
  const Tensor dy = gradients.of(op.outputs[0]);
  if (!dy) return;
  const Tensor x = op.inputs[0], gain = op.inputs[1], inverse_rms = op.outputs[1];
  const auto dx = gradients.into(x);
  const auto d_gain = gradients.into(gain);
  Attributes attributes = op.attributes;
  attributes.set("accumulate", dx.accumulate);
  attributes.set("first", d_gain.first);
  gradients.program().append(kRmsNormBackward, {dy, x, gain, inverse_rms},
                             {dx.tensor, d_gain.tensor}, std::move(attributes));
}

}  // namespace

const OpKind kRmsNorm{.name = "rms_norm",
                      .gradient = rms_norm_gradient,
                      .writes_codes = true,
                      .row_wise = true,
                      .reads_step = true};
const OpKind kRmsNormBackward{
    .name = "rms_norm_backward", .writes_codes = true, .reads_step = true};

Tensor rms_norm(Program& program, Tensor x, Tensor gain, const RmsNormOptions& options) {
  if (x.columns % options.groups != 0 || gain.columns != x.columns / options.groups ||
      program.dtype(gain) != DType::f32) {
    throw std::logic_error("rms_norm " + program.scope() + ": gain does not fit the input");
  }
  const std::int64_t tokens = program.rows(x);
  Tensor y = options.into;
  if (!y) y = program.activation("norm", {tokens, x.columns}, program.dtype(x));
  if (y.columns != x.columns || program.rows(y) != tokens) {
    throw std::logic_error("rms_norm " + program.scope() + ": output does not fit the input");
  }
  const Tensor inverse_rms =
      program.activation("inverse_rms", {tokens, options.groups}, DType::f32);
  program.info(inverse_rms).saving = Saving::exact;
  program.append(kRmsNorm, {x, gain}, {y, inverse_rms},
                 {{"epsilon", options.epsilon}, {"groups", static_cast<double>(options.groups)}});
  return y;
}

}  // namespace ingot

#include "ops/gradient_norm/gradient_norm.h"

#include <utility>

namespace ingot {

const OpKind kGradientNorm{.name = "gradient_norm"};

GradientNorm gradient_norm(Program& program, const std::vector<Tensor>& gradients,
                           const std::vector<Tensor>& square_sums, double clip_norm) {
  const auto scalar = [&](std::string_view name, Role role, Lifetime lifetime) {
    return program.add_tensor(
        {.name = std::string(name), .shape = {1}, .role = role, .lifetime = lifetime});
  };
  const GradientNorm result{
      .norm = scalar("gradient_norm", Role::output, Lifetime::parts),
      .scale = scalar("gradient_scale", Role::activation, Lifetime::transient),
      .skipped = scalar("update_skipped", Role::output, Lifetime::parts)};
  std::vector<Tensor> inputs = gradients;
  inputs.insert(inputs.end(), square_sums.begin(), square_sums.end());
  program.append(
      kGradientNorm, std::move(inputs), {result.norm, result.scale, result.skipped},
      {{"clip_norm", clip_norm}, {"square_sums", static_cast<double>(square_sums.size())}});
  return result;
}

}  // namespace ingot

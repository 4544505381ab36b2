#include "ops/gradient_norm/gradient_norm.h"

namespace ingot {

const OpKind kGradientNorm{.name = "gradient_norm"};

GradientNorm gradient_norm(Program& program, const std::vector<Tensor>& gradients,
                           double clip_norm) {
  const auto scalar = [&](std::string_view name, Role role, Lifetime lifetime) {
    return program.add_tensor(
        {.name = std::string(name), .shape = {1}, .role = role, .lifetime = lifetime});
  };
  const GradientNorm result{
      .norm = scalar("gradient_norm", Role::output, Lifetime::parts),
      .scale = scalar("gradient_scale", Role::activation, Lifetime::transient),
      .skipped = scalar("update_skipped", Role::output, Lifetime::parts)};
  program.append(kGradientNorm, gradients, {result.norm, result.scale, result.skipped},
                 {{"clip_norm", clip_norm}});
  return result;
}

}  // namespace ingot

#include "ops/weight_norm/weight_norm.h"

namespace ingot {
namespace {

Tensor scalar(Program& program, std::string_view name, Role role, Lifetime lifetime) {
  return program.add_tensor(
      {.name = std::string(name), .shape = {1}, .role = role, .lifetime = lifetime});
}

}  // namespace

const OpKind kWeightNorm{.name = "weight_norm", .reads_step = true};
const OpKind kTotalNorm{.name = "total_norm"};

WeightNorm weight_norm(Program& program, Tensor gradient, double clip_norm) {
  const WeightNorm result{
      .norm = scalar(program, "gradient norm", Role::activation, Lifetime::parts),
      .scale = scalar(program, "gradient scale", Role::activation, Lifetime::transient),
      .skipped = scalar(program, "update skipped", Role::activation, Lifetime::transient)};
  program.append(kWeightNorm, {gradient, program.progress()},
                 {result.norm, result.scale, result.skipped}, {{"clip_norm", clip_norm}});
  return result;
}

Tensor total_norm(Program& program, const std::vector<Tensor>& norms) {
  const Tensor skipped = scalar(program, "update_skipped", Role::activation, Lifetime::transient);
  const Tensor report = program.report();
  program.append(kTotalNorm, norms, {skipped, report},
                 {{"norm", static_cast<double>(program.report_slot(report_slot::kNorm))},
                  {"skipped", static_cast<double>(program.report_slot(report_slot::kSkipped))}});
  return skipped;
}

}  // namespace ingot

#include "engine/execution/machine_peaks.h"

#include <algorithm>

namespace ingot {
namespace {

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

}  // namespace

double MachinePeaks::flops_for(const Program& program, const Op& op) const {
  if (op.attributes.flag("int8")) return int8_flops;
  const auto given = std::find_if(op.inputs.begin(), op.inputs.end(),
                                  [](Tensor t) { return static_cast<bool>(t); });
  const bool bf16 = given != op.inputs.end() && program.dtype(*given) == DType::bf16;
  return bf16 ? bf16_flops : f32_flops;
}

double MachinePeaks::least_seconds(const Program& program, const Op& op) const {
  return std::max(ratio(op.flops, flops_for(program, op)), ratio(op.bytes, bytes_per_second));
}

}  // namespace ingot

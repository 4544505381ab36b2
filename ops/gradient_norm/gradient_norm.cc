#include "ops/gradient_norm/gradient_norm.h"

#include <utility>

namespace ingot {

const OpKind kSquareSums{.name = "square_sums"};
const OpKind kDecide{.name = "decide", .stateful = true, .reads_step = true};
const OpKind kAdvance{.name = "advance", .stateful = true};

Tensor sum_squares(Program& program, const std::vector<Tensor>& gradients,
                   const std::vector<Tensor>& square_sums) {
  std::vector<Tensor> inputs = gradients;
  inputs.insert(inputs.end(), square_sums.begin(), square_sums.end());
  std::int64_t pieces = 0;
  for (const Tensor input : inputs) {
    pieces += square_pieces(program.info(input).shape.elements());
  }
  const Tensor squares = program.activation("squares", {pieces}, DType::f64);
  program.append(kSquareSums, std::move(inputs), {squares},
                 {{"sums", static_cast<double>(square_sums.size())}});
  return squares;
}

Decision decide(Program& program, Tensor squares, double clip_norm) {
  const Decision decision{.scale = program.activation("gradient_scale", {1}, DType::f32),
                          .skipped = program.activation("update_skipped", {1}, DType::f32)};
  const Tensor report = program.report();
  const auto slot = [&](std::string_view name) {
    return static_cast<double>(program.report_slot(name));
  };
  program.append(kDecide, {squares}, {decision.scale, decision.skipped, report},
                 {{"clip_norm", clip_norm},
                  {"loss", static_cast<double>(program.find_report_slot(report_slot::kLoss))},
                  {"targets", static_cast<double>(program.find_report_slot(report_slot::kTargets))},
                  {"norm", slot(report_slot::kNorm)},
                  {"skipped", slot(report_slot::kSkipped)}});
  return decision;
}

void advance(Program& program, Tensor skipped) {
  const Tensor report = program.report(), progress = program.progress();
  program.append(kAdvance, {skipped, report}, {progress},
                 {{"norm", static_cast<double>(program.report_slot(report_slot::kNorm))}});
}

}  // namespace ingot

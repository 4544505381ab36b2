#include "optim/update.h"

#include "ops/adamw/adamw.h"
#include "ops/gradient_norm/gradient_norm.h"
#include "ops/muon/muon.h"
#include "ops/report/report.h"
#include "ops/router/router.h"
#include "ops/weight_norm/weight_norm.h"
#include "optim/square_sums.h"
#include "optim/update_in_backward.h"

namespace ingot {
namespace {

// Embeddings and the head stand at the top of the program, outside of layers.
bool by_muon(const Program& program, const Weight& weight, const UpdateOptions& options) {
  const int layer = program.info(weight.compute).layer;
  return options.muon_rate > 0 && weight.shape.rank() >= 2 && layer >= 0;
}

void add_moments(Program& program, Weight& weight, const UpdateOptions& options) {
  const bool vector = weight.shape.rank() < 2;
  const At of_weight(program, Cursor{.layer = program.info(weight.compute).layer});
  weight.first_moment =
      add_state(program, weight.name + " first moment", weight.shape,
                vector ? StateForm::f32 : options.first_moment, Role::optimizer_state);
  if (by_muon(program, weight, options)) return;
  weight.second_moment =
      add_state(program, weight.name + " second moment", weight.shape,
                vector ? StateForm::f32 : options.second_moment, Role::optimizer_state);
}

void append_weight_update(Program& program, const Weight& weight, Tensor scale, Tensor skipped,
                          const UpdateOptions& options) {
  const double decay = weight.decayed ? options.weight_decay : 0;
  if (by_muon(program, weight, options)) {
    muon(program, weight, scale, skipped, {.decay = decay, .rate = options.muon_rate});
    return;
  }
  adamw(
      program, weight, scale, skipped,
      {.beta1 = options.beta1, .beta2 = options.beta2, .epsilon = options.epsilon, .decay = decay});
}

// The norm of all gradients first, then every weight. Returns `skipped`.
Tensor update_afterwards(Program& program, const UpdateOptions& options) {
  program.begin(Part::update);
  std::vector<Tensor> gradients;
  for (const Weight& weight : program.weights()) {
    if (weight.learning != Learning::gradient || !weight.owner) continue;
    gradients.push_back(weight.gradient.values);
  }
  const NormOperands operands = options.leave_squares ? leave_square_sums(program, gradients)
                                                      : NormOperands{.gradients = gradients};
  const Tensor squares = sum_squares(program, operands.gradients, operands.sums);
  const Decision decision = decide(program, squares, options.clip_norm);
  for (const Weight& weight : program.weights()) {
    if (weight.learning != Learning::gradient) continue;
    const Scope scope(program, weight.name, program.info(weight.compute).layer);
    append_weight_update(program, weight, decision.scale, decision.skipped, options);
  }
  return decision.skipped;
}

Tensor update_meanwhile(Program& program, const UpdateOptions& options) {
  const std::vector<Tensor> norms = update_in_backward(
      program, options.clip_norm, [&](const Weight& weight, Tensor scale, Tensor skipped) {
        append_weight_update(program, weight, scale, skipped, options);
      });
  program.begin(Part::update);
  return total_norm(program, norms);
}

}  // namespace

void append_update(Program& program, const UpdateOptions& options,
                   const std::vector<RouterUpdate>& routers) {
  for (Weight& weight : program.weights()) {
    if (weight.learning == Learning::gradient) add_moments(program, weight, options);
  }
  const Tensor skipped = options.in_backward ? update_meanwhile(program, options)
                                             : update_afterwards(program, options);
  std::vector<ReportItem> loads;
  for (const RouterUpdate& router : routers) {
    const Scope scope(program, program.info(router.load).name, program.info(router.load).layer);
    const Weight* bias = program.weight_of(router.selection_bias);
    const bool moved = bias != nullptr && bias->learning == Learning::rule;
    const Tensor ratio =
        bias_update(program, moved ? router.selection_bias : Tensor{}, router.load, skipped);
    loads.push_back({report_slot::kLoad, ratio, ReportRule::most});
  }
  report(program, loads);
  advance(program, skipped);
}

}  // namespace ingot

#include "ops/router/router.h"

#include <stdexcept>
#include <string>

#include "engine/program/autodiff.h"

namespace ingot {
namespace {

void route_gradient(Gradients& gradients, const Op& op) {
  const Tensor d_weights = gradients.of(op.outputs[1]);
  const Tensor balance_slope = op.outputs[4];
  if (!d_weights && !balance_slope) return;
  if (const auto d_logits = gradients.into(op.inputs[0])) {
    Attributes attributes = op.attributes;
    attributes.set("accumulate", d_logits.accumulate);
    Program& program = gradients.program();
    attributes.set("weight_slot", program.step_slot(step_slot::kBalanceWeight));
    attributes.set("sequences_slot", program.step_slot(step_slot::kSequences));
    gradients.program().append(
        kRouteBackward, {d_weights, op.outputs[0], op.outputs[2], op.inputs[2], balance_slope},
        {d_logits.tensor}, std::move(attributes));
  }
}

void check(bool condition, const Program& program, const char* what) {
  if (!condition) throw std::logic_error("router " + program.scope() + ": " + what);
}

bool holds(const Program& program, Tensor t, DType dtype, std::int64_t elements) {
  return !t || (program.dtype(t) == dtype && program.is_whole(t) &&
                program.info(t).shape.elements() == elements);
}

void check_options(const Program& program, const RouterOptions& options, std::int64_t tokens) {
  const std::int64_t experts = options.experts;
  const std::int64_t group = options.groups > 0 ? experts / options.groups : 0;
  check(group > 0 && group * options.groups == experts, program, "groups do not divide experts");
  check(options.kept_groups >= 1 && options.kept_groups <= options.groups, program,
        "kept_groups must be in 1..groups");
  check(options.experts_per_token >= 1 && options.experts_per_token <= options.kept_groups * group,
        program, "experts_per_token must be in 1..experts of the kept groups");
  check(options.groups == 1 || options.group_score == GroupScore::max || group >= 2, program,
        "groups need two experts");
  check(options.batch * options.sequence == tokens, program, "tokens must be batch * sequence");
}

}  // namespace

const OpKind kRoute{
    .name = "route", .gradient = route_gradient, .stateful = true, .exact_operand = 0};
const OpKind kRouteBackward{.name = "route_backward", .reads_step = true};
const OpKind kBiasUpdate{.name = "bias_update", .reads_step = true};

Routing route(Program& program, Tensor logits, Tensor bias, Tensor ids, Tensor load,
              const RouterOptions& options) {
  const std::int64_t tokens = program.rows(logits), experts = options.experts;
  const std::int64_t selected = options.experts_per_token;
  check_options(program, options, tokens);
  check(logits.columns == experts, program, "logits must be [tokens, experts]");
  check(program.dtype(logits) == DType::f32, program, "logits must be f32");
  check(holds(program, bias, DType::f32, experts), program, "bias must be [experts] f32");
  check(holds(program, ids, DType::i32, tokens), program, "ids must be [tokens] i32");
  check(holds(program, load, DType::i32, experts), program, "load must be [experts] i32");

  Routing routing{
      .experts = program.activation("experts", {tokens, selected}, DType::i32),
      .weights = program.activation("weights", {tokens, selected}, DType::f32),
      .scores = program.activation("scores", {tokens, experts}, DType::f32),
  };
  program.info(routing.weights).saving = program.info(routing.scores).saving = Saving::exact;
  Tensor balance_slope;
  if (options.balance != BalanceLoss::none) {
    routing.balance_loss = program.add_tensor({.name = "balance_loss",
                                               .shape = {1},
                                               .dtype = DType::f32,
                                               .role = Role::output,
                                               .lifetime = Lifetime::parts});
    const std::int64_t regions = options.balance == BalanceLoss::sequence ? options.batch : 1;
    balance_slope = program.activation("balance_slope", {regions, experts}, DType::f32);
    program.info(balance_slope).saving = Saving::exact;
  }
  const bool count = load && program.part() == Part::micro_step;
  program.append(kRoute, {logits, bias, ids},
                 {routing.experts, routing.weights, routing.scores, routing.balance_loss,
                  balance_slope, count ? load : Tensor{}},
                 {{"groups", static_cast<double>(options.groups)},
                  {"kept_groups", static_cast<double>(options.kept_groups)},
                  {"sigmoid", options.score == GateScore::sigmoid},
                  {"top_two", options.group_score == GroupScore::sum_of_top_two},
                  {"normalize", options.normalize},
                  {"scaling", options.scaling},
                  {"batch", static_cast<double>(options.batch)},
                  {"count", count}});
  return routing;
}

Tensor bias_update(Program& program, Tensor bias, Tensor load, Tensor skip) {
  const std::int64_t experts = load.columns;
  check(program.dtype(load) == DType::i32 && program.is_whole(load), program, "load must be i32");
  check(holds(program, bias, DType::f32, experts), program, "bias must be [experts] f32");
  check(!skip || program.dtype(skip) == DType::f32, program, "skip must be f32");
  const Tensor ratio = program.add_tensor({.name = "load_max_over_mean",
                                           .shape = {1},
                                           .dtype = DType::f32,
                                           .role = Role::output,
                                           .lifetime = Lifetime::parts});
  program.append(kBiasUpdate, {skip}, {bias, load, ratio},
                 {{"rate_slot", static_cast<double>(program.step_slot(step_slot::kBiasRate))}});
  return ratio;
}

}  // namespace ingot

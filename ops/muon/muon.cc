#include "ops/muon/muon.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "ops/state_forms/state_forms.h"

namespace ingot {
namespace {

constexpr double kIterations = 5;

// An iteration is A = X X^T (2 k^2 n), A^2 (2 k^3) and their product with X (2 k^2 n), k <= n.
Cost muon_cost(const Program& program, const Op& op) {
  Cost cost{.bytes = static_cast<double>(program.info(op.inputs[0]).bytes())};
  for (std::size_t i = 0; i < op.outputs.size(); ++i) {
    if (op.outputs[i]) cost.bytes += 2 * static_cast<double>(program.info(op.outputs[i]).bytes());
  }
  const auto columns = static_cast<double>(program.info(op.outputs[0]).shape.last());
  const auto repeats = op.attributes.real("repeats");
  for (std::int64_t i = 0; i < op.attributes.integer("matrices"); ++i) {
    const double rows = op.attributes.real("rows" + std::to_string(i));
    const double k = std::min(rows, columns), n = std::max(rows, columns);
    cost.flops += repeats * kIterations * (4 * k * k * n + 2 * k * k * k);
  }
  return cost;
}

}  // namespace

const OpKind kMuon{.name = "muon", .cost = muon_cost, .reads_step = true};

void muon(Program& program, const Weight& weight, Tensor scale, Tensor skipped,
          const MuonOptions& options) {
  const WeightState &value = weight.value, &first = weight.first_moment;
  const Tensor beside = value.extra ? value.extra : weight.rounded_copy();
  const Shape& shape = program.info(value.values).shape;
  if (shape.rank() < 2) throw std::logic_error("muon: matrices only");
  const std::int64_t repeats = shape.rank() == 3 ? shape[0] : 1;
  const auto matrices = static_cast<std::int64_t>(weight.parts.size()) / repeats;
  Attributes attributes{{"momentum", options.momentum},
                        {"decay", options.decay},
                        {"rate", options.rate},
                        {"weight_form", static_cast<double>(value.form)},
                        {"first_form", static_cast<double>(first.form)},
                        {"matrices", static_cast<double>(matrices)},
                        {"repeats", static_cast<double>(repeats)}};
  for (std::int64_t i = 0; i < matrices; ++i) {
    attributes.set("rows" + std::to_string(i), static_cast<double>(weight.parts[i].shape.rows()));
  }
  program.append(kMuon, {weight.gradient.values, scale, skipped, program.progress()},
                 {value.values, beside, first.values, first.extra}, std::move(attributes));
}

}  // namespace ingot

#include "engine/program/program.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <stdexcept>

#include "engine/numbers/random.h"

namespace ingot {

const OpKind kWait{.name = "wait"};

std::string_view name_of(Role role) {
  constexpr std::string_view kNames[] = {"weight",          "master",     "gradient",
                                         "optimizer_state", "activation", "workspace",
                                         "communication",   "input",      "output"};
  return kNames[static_cast<int>(role)];
}

std::string_view name_of(Phase phase) {
  constexpr std::string_view kNames[] = {"forward", "backward", "update"};
  return kNames[static_cast<int>(phase)];
}

std::int64_t TensorInfo::bytes() const {
  return checked_product(shape.elements(), size_of(dtype), shape);
}

Attributes::Attributes(std::initializer_list<std::pair<std::string_view, double>> values) {
  for (const auto& [name, value] : values) set(name, value);
}

bool Attributes::has(std::string_view name) const {
  return std::any_of(values_.begin(), values_.end(),
                     [&](const auto& value) { return value.first == name; });
}

double Attributes::real(std::string_view name) const {
  for (const auto& [key, value] : values_) {
    if (key == name) return value;
  }
  throw std::logic_error("op has no attribute " + std::string(name));
}

std::int64_t Attributes::integer(std::string_view name) const {
  constexpr double kMostExact = 1LL << 53;
  const double value = real(name);
  if (!(std::abs(value) <= kMostExact) || value != std::trunc(value)) {
    throw std::logic_error("attribute " + std::string(name) +
                           " is no exact integer: " + std::to_string(value));
  }
  return static_cast<std::int64_t>(value);
}

void Attributes::set(std::string_view name, double value) {
  for (auto& [key, old] : values_) {
    if (key == name) {
      old = value;
      return;
    }
  }
  values_.emplace_back(name, value);
}

Tensor Program::add_tensor(TensorInfo info) {
  if (!scope().empty()) info.name = scope() + "." + info.name;
  return add_tensor_as_named(std::move(info));
}

Tensor Program::add_tensor_as_named(TensorInfo info) {
  if (info.layer < 0) info.layer = layer();
  const int others = names_[info.name]++;
  if (info.stream == 0) {
    info.stream =
        random_stream(others == 0 ? info.name : info.name + " " + std::to_string(others + 1));
  }
  tensors_.push_back(std::move(info));
  return whole(static_cast<int>(tensors_.size()) - 1);
}

Tensor Program::activation(std::string_view name, Shape shape, DType dtype) {
  return add_tensor({.name = std::string(name), .shape = shape, .dtype = dtype});
}

Tensor Program::persistent(std::string_view name, Shape shape, DType dtype, Role role) {
  return add_tensor({.name = std::string(name),
                     .shape = shape,
                     .dtype = dtype,
                     .role = role,
                     .lifetime = Lifetime::persistent});
}

Tensor Program::constant(std::string_view name, Shape shape, DType dtype,
                         std::span<const std::byte> values) {
  const Tensor tensor = persistent(name, shape, dtype, Role::input);
  if (static_cast<std::int64_t>(values.size()) != info(tensor).bytes()) {
    throw std::logic_error("constant " + info(tensor).name + ": wrong size");
  }
  constants_.push_back({tensor, {values.begin(), values.end()}});
  return tensor;
}

Tensor Program::shared(Tensor& made, TensorInfo info) {
  if (made) return made;
  info.lifetime = Lifetime::persistent;
  const int layer = std::exchange(cursor_.layer, -1);
  made = add_tensor_as_named(std::move(info));
  cursor_.layer = layer;
  return made;
}

Tensor Program::step() {
  return shared(step_, {.name = "step",
                        .shape = {static_cast<std::int64_t>(sizeof(StepState))},
                        .dtype = DType::u8,
                        .role = Role::input});
}

Tensor Program::report() {
  return shared(
      report_,
      {.name = "report", .shape = {kReportSlots}, .dtype = DType::f64, .role = Role::output});
}

Tensor Program::progress() {
  return shared(progress_, {.name = "progress",
                            .shape = {kProgressCount},
                            .dtype = DType::f64,
                            .role = Role::optimizer_state});
}

int Program::find_step_slot(std::string_view name) const {
  const auto found = std::ranges::find(step_slots_, name);
  return found == step_slots_.end() ? -1 : static_cast<int>(found - step_slots_.begin());
}

int Program::step_slot(std::string_view name) {
  if (const int slot = find_step_slot(name); slot >= 0) return slot;
  if (std::ssize(step_slots_) == kStepSlots) throw std::logic_error("a step has no more slots");
  step_slots_.emplace_back(name);
  return static_cast<int>(std::ssize(step_slots_)) - 1;
}

int Program::find_report_slot(std::string_view name) const {
  const auto found = std::ranges::find(report_slots_, name, &ReportSlot::name);
  return found == report_slots_.end() ? -1 : static_cast<int>(found - report_slots_.begin());
}

int Program::report_slot(std::string_view name, ReportRule rule) {
  if (const int slot = find_report_slot(name); slot >= 0) return slot;
  if (std::ssize(report_slots_) == kReportSlots)
    throw std::logic_error("a report has no more slots");
  report_slots_.push_back({std::string(name), rule});
  return static_cast<int>(std::ssize(report_slots_)) - 1;
}

void set_slot(StepState& step, const Program& program, std::string_view name, double value) {
  if (const int slot = program.find_step_slot(name); slot >= 0) step.slots[slot] = value;
}

Queue Program::add_queue(QueueInfo queue) {
  queues_.push_back(std::move(queue));
  return static_cast<Queue>(queues_.size() - 1);
}

Tensor Program::find(std::string_view name) const {
  for (std::size_t id = 0; id < tensors_.size(); ++id) {
    if (tensors_[id].name == name) return whole(static_cast<int>(id));
  }
  return {};
}

double operand_bytes(const Program& program, const Op& op) {
  double bytes = 0;
  for_operands(op, [&](Tensor t) {
    bytes += static_cast<double>(program.rows(t) * t.columns * size_of(program.dtype(t)));
  });
  return bytes;
}

void set_cost(const Program& program, Op& op) {
  const Cost cost =
      op.kind->cost != nullptr ? op.kind->cost(program, op) : Cost{0, operand_bytes(program, op)};
  op.flops = cost.flops;
  op.bytes = cost.bytes;
}

Op& Program::append(const OpKind& kind, std::vector<Tensor> inputs, std::vector<Tensor> outputs,
                    Attributes attributes) {
  Op op{.kind = &kind,
        .inputs = std::move(inputs),
        .outputs = std::move(outputs),
        .attributes = std::move(attributes),
        .name = cursor_.scope,
        .phase = cursor_.phase,
        .part = cursor_.part,
        .layer = cursor_.layer};
  if (kind.reads_step) step();
  set_cost(*this, op);
  ops_.push_back(std::move(op));
  return ops_.back();
}

std::span<const Op> Program::ops(Part part) const {
  const auto in_part = [part](const Op& op) { return op.part == part; };
  const auto first = std::find_if(ops_.begin(), ops_.end(), in_part);
  const auto last = std::find_if_not(first, ops_.end(), in_part);
  return {first, last};
}

std::vector<Part> Program::parts() const {
  std::vector<Part> parts;
  for (const Op& op : ops_) {
    if (parts.empty() || parts.back() != op.part) parts.push_back(op.part);
  }
  return parts;
}

void Program::remove_ops(std::span<const std::size_t> sorted_indices) {
  std::size_t next = 0, kept = 0;
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    if (next < sorted_indices.size() && sorted_indices[next] == i) {
      ++next;
    } else {
      if (kept != i) ops_[kept] = std::move(ops_[i]);
      ++kept;
    }
  }
  ops_.resize(kept);
}

void Program::move_ops(std::size_t begin, std::span<const std::size_t> after) {
  std::vector<std::size_t> order(after.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return after[a] < after[b]; });
  std::vector<Op> moved(std::make_move_iterator(ops_.begin() + static_cast<std::ptrdiff_t>(begin)),
                        std::make_move_iterator(ops_.end()));
  ops_.resize(begin);
  std::vector<Op> result;
  result.reserve(begin + moved.size());
  std::size_t next = 0;
  for (std::size_t i = 0; i < begin; ++i) {
    result.push_back(std::move(ops_[i]));
    for (; next < order.size() && after[order[next]] == i; ++next) {
      if (moved[order[next]].part != result.back().part) {
        throw std::logic_error("an op is moved into another part");
      }
      result.push_back(std::move(moved[order[next]]));
    }
  }
  if (next != moved.size()) throw std::logic_error("an op is moved behind none");
  ops_ = std::move(result);
}

void Program::begin(Part part) {
  if (!ops_.empty() && ops_.back().part != part && !ops(part).empty()) {
    throw std::logic_error(name_of(part) + " is begun again behind another part");
  }
  cursor_ = {.part = part, .phase = part == Part::update ? Phase::update : Phase::forward};
}

int Program::add_set(WeightSet set) {
  sets_.push_back(std::move(set));
  return static_cast<int>(sets_.size()) - 1;
}

Weight& Program::add_weight(Weight weight) {
  weights_.push_back(std::move(weight));
  return weights_.back();
}

const Weight* Program::weight_of(Tensor t) const {
  if (!t) return nullptr;
  for (const Weight& weight : weights_) {
    if (weight.compute.id == t.id) return &weight;
  }
  return nullptr;
}

std::string describe(const Program& program, const Op& op) {
  std::string name = op.name;
  for (const auto* operands : {&op.inputs, &op.outputs}) {
    for (const Tensor t : *operands) {
      if (!t) continue;
      const TensorInfo& info = program.info(t);
      if (info.role != Role::weight && info.role != Role::gradient) continue;
      // The update's ops may have every weight as operand: then the scope says more.
      if (op.phase == Phase::update || !info.name.starts_with(op.name)) continue;
      constexpr std::string_view kGradient = " gradient";
      name = info.name;
      if (name.ends_with(kGradient)) name.resize(name.size() - kGradient.size());
      break;
    }
    if (name != op.name) break;
  }
  return name + (name.empty() ? "(" : " (") + std::string(op.kind->name) + ", " +
         std::string(name_of(op.phase)) + ")";
}

At::At(Program& program, Cursor cursor)
    : program_(program), outer_(std::exchange(program.cursor_, std::move(cursor))) {}

At::At(Program& program, const Op& op) : At(program, op, op.phase) {}

At::At(Program& program, const Op& op, Phase phase)
    : At(program, Cursor{.part = op.part, .phase = phase, .layer = op.layer, .scope = op.name}) {}

At::~At() { program_.cursor_ = std::move(outer_); }

Scope::Scope(Program& program, std::string_view name, int layer)
    : program_(program), outer_(program.scope()), outer_layer_(program.layer()) {
  program_.cursor_.scope = outer_.empty() ? std::string(name) : outer_ + "." + std::string(name);
  if (layer != -2) program_.cursor_.layer = layer;
}

Scope::~Scope() {
  program_.cursor_.scope = std::move(outer_);
  program_.cursor_.layer = outer_layer_;
}

}  // namespace ingot

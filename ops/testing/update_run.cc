#include "ops/testing/update_run.h"

#include <array>
#include <cmath>
#include <utility>

#include "engine/numbers/random.h"

namespace ingot {

UpdateRun::UpdateRun(const UpdateForms& forms, const Shape& shape, std::vector<WeightPart> parts,
                     const Append& append, std::span<const cpu::KernelEntry> kernels, int threads,
                     cpu::Isa isa)
    : backend_(threads, kernels, isa) {
  program_.begin(Part::update);
  weight_.name = "weight";
  weight_.parts = std::move(parts);
  if (weight_.parts.empty()) weight_.parts = {{"weight", 0, shape}};
  weight_.shape = shape;
  weight_.value = add_state(program_, "w", shape, forms.weight, Role::weight);
  weight_.compute = forms.copy == DType::f32
                        ? weight_.value.values
                        : program_.persistent("w copy", shape, forms.copy, Role::weight);
  weight_.gradient = add_state(program_, "g", shape, plain_form(forms.gradient), Role::gradient);
  weight_.first_moment = add_state(program_, "m", shape, forms.first, Role::optimizer_state);
  if (forms.second) {
    weight_.second_moment = add_state(program_, "v", shape, *forms.second, Role::optimizer_state);
  }
  scale_ = program_.persistent("scale", {1}, DType::f32, Role::input);
  skipped_ = program_.persistent("skipped", {1}, DType::f32, Role::input);
  program_.add_weight(weight_);
  {
    const Scope scope(program_, weight_.name);
    append(program_, weight_, scale_, skipped_);
  }
  BoundProgram bound(program_, backend_);
  Placement placement = separate_places(program_, bound);
  executor_ =
      std::make_unique<Executor>(program_, std::move(bound), std::move(placement), backend_);
  scale_gradients_by(1);
}

void UpdateRun::step(const std::vector<float>& gradient) {
  const StateLayout layout{1, static_cast<std::int64_t>(gradient.size())};
  encode_state(weight_.gradient.form, layout, gradient, executor_->host(weight_.gradient.values),
               nullptr);
  const std::array<double, kProgressCount> progress{static_cast<double>(updates_++)};
  executor_->write(program_.progress(), std::as_bytes(std::span(progress)));
  executor_->run(Part::update, state_);
}

void UpdateRun::set_weight(const std::vector<float>& values) {
  const WeightState& state = weight_.value;
  std::byte* extra = state.extra ? executor_->host(state.extra) : nullptr;
  encode_state(state.form, layout_of(program_, state), values, executor_->host(state.values),
               extra);
}

std::vector<float> UpdateRun::copy() const {
  return decoded({.form = plain_form(program_.dtype(weight_.compute)), .values = weight_.compute});
}

std::vector<float> UpdateRun::decoded(const WeightState& state) const {
  const StateLayout layout = layout_of(program_, state);
  std::vector<float> values(layout.rows * layout.columns);
  const std::byte* extra = state.extra ? executor_->host(state.extra) : nullptr;
  decode_state(state.form, layout, executor_->host(state.values), extra, values);
  return values;
}

std::string UpdateRun::bytes() const {
  std::string all;
  for (const TensorInfo& info : program_.tensors()) {
    if (info.role == Role::gradient || info.role == Role::input || info.name == "progress" ||
        info.lifetime != Lifetime::persistent) {
      continue;
    }
    std::string bytes(info.bytes(), '\0');
    const auto id = static_cast<int>(&info - program_.tensors().data());
    executor_->read(program_.whole(id), std::as_writable_bytes(std::span(bytes)));
    all += bytes;
  }
  return all;
}

std::vector<float> normals(std::size_t count, double deviation, std::uint64_t seed) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(random_normal_pair(seed, 3, i)[0] * deviation);
  }
  return values;
}

double relative_error(std::span<const float> actual, std::span<const double> expected) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    size += expected[i] * expected[i];
  }
  return std::sqrt(difference / size);
}

}  // namespace ingot

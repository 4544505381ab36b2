#include "ops/testing/update_run.h"

#include <array>
#include <cmath>
#include <utility>

#include "engine/numbers/random.h"

namespace ingot {

UpdateRun::UpdateRun(const UpdateForms& forms, const Shape& shape, std::vector<WeightPart> parts,
                     const Append& append, std::span<const cpu::KernelEntry> kernels, int threads,
                     cpu::Isa isa)
    : UpdateRun(forms, shape, std::move(parts), append,
                std::make_unique<cpu::CpuBackend>(threads, kernels, isa)) {}

UpdateRun::UpdateRun(const UpdateForms& forms, const Shape& shape, std::vector<WeightPart> parts,
                     const Append& append, std::unique_ptr<Backend> own_backend)
    : UpdateRun(forms, shape, std::move(parts), append, *own_backend) {
  own_backend_ = std::move(own_backend);
}

UpdateRun::UpdateRun(const UpdateForms& forms, const Shape& shape, std::vector<WeightPart> parts,
                     const Append& append, Backend& backend) {
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
  BoundProgram bound(program_, backend);
  Placement placement = separate_places(program_, bound);
  executor_ = std::make_unique<Executor>(program_, std::move(bound), std::move(placement), backend);
  scale_gradients_by(1);
}

void UpdateRun::step(const std::vector<float>& gradient) {
  encode(weight_.gradient, gradient);
  const std::array<double, kProgressCount> progress{static_cast<double>(updates_++)};
  executor_->write(program_.progress(), std::as_bytes(std::span(progress)));
  executor_->run(Part::update, state_);
}

void UpdateRun::set_weight(const std::vector<float>& values) { encode(weight_.value, values); }

void UpdateRun::encode(const WeightState& state, const std::vector<float>& values) {
  std::vector<std::byte> to_values = read(state.values), to_extra = read(state.extra);
  encode_state(state.form, layout_of(program_, state), values, to_values.data(), to_extra.data());
  executor_->write(state.values, to_values);
  if (state.extra) executor_->write(state.extra, to_extra);
}

std::vector<float> UpdateRun::copy() const {
  return decoded({.form = plain_form(program_.dtype(weight_.compute)), .values = weight_.compute});
}

std::vector<float> UpdateRun::decoded(const WeightState& state) const {
  const StateLayout layout = layout_of(program_, state);
  std::vector<float> values(layout.rows * layout.columns);
  decode_state(state.form, layout, read(state.values).data(), read(state.extra).data(), values);
  return values;
}

std::vector<std::byte> UpdateRun::read(Tensor t) const {
  if (!t) return {};
  std::vector<std::byte> host(executor_->bytes(t));
  executor_->read(t, host);
  return host;
}

std::string UpdateRun::bytes() const {
  std::string all;
  for (const TensorInfo& info : program_.tensors()) {
    if (info.role == Role::gradient || info.role == Role::input || info.name == "progress" ||
        info.lifetime != Lifetime::persistent) {
      continue;
    }
    const auto id = static_cast<int>(&info - program_.tensors().data());
    const std::vector<std::byte> bytes = read(program_.whole(id));
    all.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
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

#include "ops/testing/op_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "backends/cpu/join_kernels.h"
#include "engine/program/autodiff.h"
#include "ops/add/add.h"
#include "ops/add/add_cpu.h"

namespace ingot {
namespace {

// A leaf is a weight (that holds values and gradient) and an op that copies it to an activation.
void leaf_gradient(Gradients& gradients, const Op& op) {
  const Tensor gradient = gradients.of(op.outputs[0]);
  if (!gradient) return;
  const Gradients::Target target = gradients.into(op.inputs[0]);
  add_into(gradients.program(), gradient, target.tensor, target.accumulate);
}
const OpKind kLeaf{.name = "add_into", .gradient = leaf_gradient};

// Seeds the gradient of an output with a given tensor.
void seed_gradient(Gradients& gradients, const Op& op) {
  const Gradients::Target target = gradients.into(op.inputs[0]);
  if (target) add_into(gradients.program(), op.inputs[1], target.tensor, target.accumulate);
}
const OpKind kSeed{.name = "seed", .gradient = seed_gradient, .forward_in_gradient = true};

double to_double(const std::byte* bytes, DType dtype) {
  switch (dtype) {
    case DType::f32: {
      float value;
      std::memcpy(&value, bytes, sizeof value);
      return value;
    }
    case DType::i32: {
      std::int32_t value;
      std::memcpy(&value, bytes, sizeof value);
      return value;
    }
    case DType::bf16:
    case DType::f16: {
      std::uint16_t value;
      std::memcpy(&value, bytes, sizeof value);
      return dtype == DType::bf16 ? bf16_to_float(value) : f16_to_float(value);
    }
    case DType::f64: {
      double value;
      std::memcpy(&value, bytes, sizeof value);
      return value;
    }
    default:
      throw std::logic_error("op_check: dtype");
  }
}

void from_double(double value, DType dtype, std::byte* bytes) {
  const auto real = static_cast<float>(value);
  if (dtype == DType::f32) {
    std::memcpy(bytes, &real, sizeof real);
  } else if (dtype == DType::i32) {
    const auto integer = static_cast<std::int32_t>(value);
    std::memcpy(bytes, &integer, sizeof integer);
  } else {
    const std::uint16_t half = dtype == DType::bf16 ? float_to_bf16(real) : float_to_f16(real);
    std::memcpy(bytes, &half, sizeof half);
  }
}

double rounded(double value, DType dtype) {
  std::byte bytes[8];
  from_double(value, dtype, bytes);
  return to_double(bytes, dtype);
}

double largest(std::span<const double> values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::fabs(value));
  return most;
}

}  // namespace

OpCheck::OpCheck(DType dtype, Backend& backend) : dtype_(dtype), backend_(backend) {}

OpCheck::OpCheck(DType dtype, std::span<const cpu::KernelEntry> kernels, int threads, cpu::Isa isa)
    : dtype_(dtype),
      own_backend_(std::make_unique<cpu::CpuBackend>(
          threads, cpu::join_kernels({kernels, cpu::add_cpu_kernels()}), isa)),
      backend_(*own_backend_) {}

OpCheck::~OpCheck() = default;

double OpCheck::random() {  // uniform in [-1, 1)
  random_state_ = random_state_ * 6364136223846793005u + 1442695040888963407u;
  return static_cast<double>(random_state_ >> 11) / (1ull << 52) - 1.0;
}

Tensor OpCheck::add_leaf(std::string_view name, Shape shape, std::vector<double> values,
                         DType dtype, DType gradient_dtype) {
  if (static_cast<std::int64_t>(values.size()) != shape.elements()) {
    throw std::logic_error("leaf: wrong number of values");
  }
  for (double& value : values) value = rounded(value, dtype);
  const Tensor tensor = program_.persistent(name, shape, dtype, Role::weight);
  const Tensor gradient = program_.persistent("gradient", shape, gradient_dtype, Role::gradient);
  program_.add_weight({.name = std::string(name),
                       .shape = shape,
                       .value = {.form = plain_form(dtype), .values = tensor},
                       .gradient = {.form = plain_form(gradient_dtype), .values = gradient},
                       .compute = tensor});
  filled_.emplace_back(tensor, values);
  leaves_.push_back({std::string(name), tensor, std::move(values)});
  return tensor;
}

Tensor OpCheck::leaf(std::string_view name, Shape shape, double range) {
  std::vector<double> values(shape.elements());
  for (double& value : values) value = random() * range;
  return leaf(name, shape, std::move(values), dtype_);
}

Tensor OpCheck::leaf(std::string_view name, Shape shape, std::vector<double> values, DType dtype) {
  const Tensor weight = add_leaf(name, shape, std::move(values), dtype, dtype);
  const Tensor activation = program_.activation(name, shape, dtype);
  program_.append(kLeaf, {weight}, {activation}, {{"accumulate", 0}});
  return activation;
}

Tensor OpCheck::weight(std::string_view name, Shape shape, double range, DType dtype) {
  std::vector<double> values(shape.elements());
  for (double& value : values) value = random() * range;
  return add_leaf(name, shape, std::move(values), dtype, DType::f32);
}

Tensor OpCheck::integers(std::string_view name, Shape shape, std::vector<std::int32_t> values) {
  const Tensor t = program_.persistent(name, shape, DType::i32, Role::input);
  filled_.emplace_back(t, std::vector<double>(values.begin(), values.end()));
  return t;
}

Tensor OpCheck::constants(std::string_view name, Shape shape, std::vector<float> values) {
  const Tensor t = program_.persistent(name, shape, DType::f32, Role::input);
  filled_.emplace_back(t, std::vector<double>(values.begin(), values.end()));
  return t;
}

void OpCheck::output(Tensor y) {
  result(y);
  const Shape shape{program_.rows(y), y.columns};
  const Tensor upstream = program_.persistent("upstream", shape, program_.dtype(y), Role::input);
  std::vector<double> values(shape.elements());
  for (double& value : values) {
    value = rounded(random(), program_.dtype(y));
    upstream_.push_back(value);
  }
  filled_.emplace_back(upstream, std::move(values));
  program_.append(kSeed, {y, upstream}, {});
}

void OpCheck::result(Tensor y) { outputs_.push_back(y); }

void OpCheck::run() {
  differentiate(program_);
  if (pass_) pass_(program_);
  BoundProgram bound(program_, backend_);
  Placement placement = separate_places(program_, bound);
  executor_ =
      std::make_unique<Executor>(program_, std::move(bound), std::move(placement), backend_);
  for (const auto& [tensor, values] : filled_) fill(tensor, values);
  for (const auto& [tensor, bytes] : raw_) executor_->write(tensor, bytes);
  spoil_unused_gradients();
  executor_->run(Part::micro_step, state_);
}

void OpCheck::run_again() {
  ++state_.micro_batch;
  executor_->run(Part::micro_step, state_, {.first = state_.micro_batch == 0});
}

void OpCheck::spoil_unused_gradients() {
  for (const Op& op : program_.ops()) {
    if (!op.attributes.flag("first")) continue;
    for (const Weight& weight : program_.weights()) {
      const Tensor t = weight.gradient.values;
      if (std::ranges::find(op.outputs, t) == op.outputs.end()) continue;
      fill(t, std::vector<double>(program_.info(t).shape.elements(), NAN));
    }
  }
}

void OpCheck::fill(Tensor t, const std::vector<double>& values) {
  const DType dtype = program_.dtype(t);
  std::vector<std::byte> host(program_.info(t).bytes());
  for (std::size_t i = 0; i < values.size(); ++i) {
    from_double(values[i], dtype, host.data() + i * size_of(dtype));
  }
  executor_->write(t, host);
}

std::vector<std::byte> OpCheck::bytes(Tensor t) const {
  std::vector<std::byte> host(executor_->bytes(t));
  executor_->read(program_.whole(t.id), host);
  return host;
}

std::vector<double> OpCheck::value(Tensor t) const {
  const std::vector<std::byte> host = bytes(t);
  const DType dtype = program_.dtype(t);
  std::vector<double> values;
  for (std::int64_t row = 0; row < program_.rows(t); ++row) {
    for (std::int64_t column = t.column; column < t.column + t.columns; ++column) {
      const std::int64_t i = row * program_.row_stride(t) + column;
      values.push_back(to_double(host.data() + i * size_of(dtype), dtype));
    }
  }
  return values;
}

std::vector<double> OpCheck::gradient(std::string_view leaf) const {
  for (const Leaf& candidate : leaves_) {
    if (candidate.name == leaf) return value(program_.weight_of(candidate.weight)->gradient.values);
  }
  throw std::logic_error("no leaf " + std::string(leaf));
}

void OpCheck::expect_matches(const Reference& reference, Tolerance tolerance) {
  Leaves values;
  for (const Leaf& leaf : leaves_) values.push_back(leaf.values);
  const std::vector<double> expected = reference(values);
  std::vector<double> actual;
  for (const Tensor t : outputs_) {
    const std::vector<double> part = value(t);
    actual.insert(actual.end(), part.begin(), part.end());
  }
  ASSERT_EQ(actual.size(), expected.size());
  const double scale = largest(expected);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], tolerance.value * scale) << "output element " << i;
  }
  if (upstream_.empty()) return;

  // Central differences of the reference: at most ~200 elements of each leaf.
  for (std::size_t l = 0; l < leaves_.size(); ++l) {
    const std::vector<double> got = gradient(leaves_[l].name);
    const std::size_t stride = std::max<std::size_t>(1, got.size() / 200);
    std::vector<double> differences;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < got.size(); i += stride) {
      const double step = 1e-5 * std::max(1.0, std::fabs(values[l][i]));
      double loss[2] = {0, 0};
      for (const int side : {0, 1}) {
        Leaves moved = values;
        moved[l][i] += side == 0 ? -step : step;
        const std::vector<double> y = reference(moved);
        for (std::size_t j = 0; j < y.size(); ++j) loss[side] += y[j] * upstream_[j];
      }
      differences.push_back((loss[1] - loss[0]) / (2 * step));
      places.push_back(i);
    }
    const double most = std::max(largest(differences), 1e-6);
    for (std::size_t i = 0; i < places.size(); ++i) {
      ASSERT_NEAR(got[places[i]], differences[i], tolerance.gradient * most)
          << "gradient of " << leaves_[l].name << " element " << places[i];
    }
  }
}

}  // namespace ingot

// What tests of optimizers share: one weight in some form, its update, and gradients from outside.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "engine/execution/executor.h"
#include "ops/state_forms/state_forms.h"

namespace ingot {

struct UpdateForms {
  StateForm weight = StateForm::f32, first = StateForm::f32;
  std::optional<StateForm> second;  // none: the optimizer has no second moment
  DType gradient = DType::f32;      // or bf16
  DType copy = DType::f32;          // of an fp32 master; f32: none
};

class UpdateRun {
 public:
  // Appends the update under test.
  using Append =
      std::function<void(Program&, const Weight&, Tensor gradient_scale, Tensor skipped)>;

  // parts: none for one tensor of a checkpoint, "weight".
  UpdateRun(const UpdateForms& forms, const Shape& shape, std::vector<WeightPart> parts,
            const Append& append, Backend& backend);
  // The same on the CPU, with the kernels of the update under test.
  UpdateRun(const UpdateForms& forms, const Shape& shape, std::vector<WeightPart> parts,
            const Append& append, std::span<const cpu::KernelEntry> kernels, int threads,
            cpu::Isa isa = cpu::isa());

  StepState& state() { return state_; }
  void scale_gradients_by(float scale) { set(scale_, scale); }  // 1 at first
  void skip(bool skipped) { set(skipped_, skipped ? 1.0f : 0.0f); }
  // One update with this gradient.
  void step(const std::vector<float>& gradient);

  void set_weight(const std::vector<float>& values);
  std::vector<float> weight() const { return decoded(weight_.value); }
  std::vector<float> copy() const;
  std::vector<float> first_moment() const { return decoded(weight_.first_moment); }
  std::vector<float> second_moment() const { return decoded(weight_.second_moment); }
  // Of all that an update changes.
  std::string bytes() const;

 private:
  void set(Tensor t, float value) { executor_->write(t, std::as_bytes(std::span(&value, 1))); }
  UpdateRun(const UpdateForms& forms, const Shape& shape, std::vector<WeightPart> parts,
            const Append& append, std::unique_ptr<Backend> own_backend);
  void encode(const WeightState& state, const std::vector<float>& values);
  std::vector<float> decoded(const WeightState& state) const;
  std::vector<std::byte> read(Tensor t) const;  // nothing of no tensor

  Program program_;
  std::unique_ptr<Backend> own_backend_;  // where none is given
  Weight weight_;
  Tensor scale_, skipped_;
  StepState state_;
  std::int64_t updates_ = 0;
  std::unique_ptr<Executor> executor_;
};

std::vector<float> normals(std::size_t count, double deviation, std::uint64_t seed);

// Of the Euclidean norm.
double relative_error(std::span<const float> actual, std::span<const double> expected);

}  // namespace ingot

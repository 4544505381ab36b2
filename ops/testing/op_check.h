// Tests of ops as a declaration: leaves, the op, and a plain double-precision reference. Values are
// compared with the reference, gradients with central differences of the reference in fp64.
//
//   OpCheck check(DType::bf16, rms_norm_cpu_kernels());
//   const Tensor x = check.leaf("x", {3, 65});
//   const Tensor gain = check.weight("gain", {65});
//   check.output(rms_norm(check.program(), x, gain, 1e-6));
//   check.run();
//   check.expect_matches([](const Leaves& leaves) { ... return y; }, {.value = ..., .gradient =
//   ...});
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "engine/execution/executor.h"
#include "engine/program/program.h"

namespace ingot {

// Values of the leaves in the order they were declared, as the op sees them (rounded to its dtype).
using Leaves = std::vector<std::vector<double>>;
using Reference = std::function<std::vector<double>(const Leaves&)>;

struct Tolerance {
  double value = 0;     // of max |reference value|
  double gradient = 0;  // of max |reference gradient| of that leaf
};

class OpCheck {
 public:
  // On any backend that has kernels of the op, of its gradients and of ops/add.
  OpCheck(DType dtype, Backend& backend);
  // On the CPU, with the kernels of the op under test.
  OpCheck(DType dtype, std::span<const cpu::KernelEntry> kernels, int threads = 2,
          cpu::Isa isa = cpu::isa());
  ~OpCheck();

  Program& program() { return program_; }
  DType dtype() const { return dtype_; }

  // An activation of the check's dtype with random values in [-range, range] and a gradient.
  Tensor leaf(std::string_view name, Shape shape, double range = 1);
  // The same, with given values and dtype.
  Tensor leaf(std::string_view name, Shape shape, std::vector<double> values, DType dtype);
  // A weight: its gradient is an fp32 sum that the op overwrites in the first run (it is NaN
  // before), then adds to.
  Tensor weight(std::string_view name, Shape shape, double range, DType dtype);
  Tensor weight(std::string_view name, Shape shape, double range = 1) {
    return weight(name, shape, range, dtype_);
  }
  // Integers that are not differentiated: ids, positions, offsets.
  Tensor integers(std::string_view name, Shape shape, std::vector<std::int32_t> values);
  // fp32 numbers that are not differentiated: tables, masks.
  Tensor constants(std::string_view name, Shape shape, std::vector<float> values);

  // What a tensor of the program holds before the first run.
  void bytes_of(Tensor t, std::span<const std::byte> bytes) {
    raw_.emplace_back(t, std::vector<std::byte>(bytes.begin(), bytes.end()));
  }

  // Declares y as an output whose (random) upstream gradient flows back into the leaves.
  void output(Tensor y);
  // The loss is the op's own (heads): no upstream gradient is made for it.
  void result(Tensor y);

  // A pass over the finished program: runs after the backward ops were appended, before planning.
  void transform(std::function<void(Program&)> pass) { pass_ = std::move(pass); }

  StepState& state() { return state_; }
  void set_slot(std::string_view name, double value) {
    state_.slots[program_.step_slot(name)] = value;
  }
  // Appends the backward ops, plans without reuse, runs forward and backward once.
  void run();
  // The next micro-step: runs forward and backward again (weight gradients accumulate, activations
  // are overwritten).
  void run_again();

  std::vector<double> value(Tensor t) const;
  std::vector<double> gradient(std::string_view leaf) const;
  std::vector<std::byte> bytes(Tensor t) const;
  // The upstream gradients of all outputs, concatenated in the order of output().
  const std::vector<double>& upstream() const { return upstream_; }

  // reference: all outputs' values concatenated in the order of output().
  void expect_matches(const Reference& reference, Tolerance tolerance);

 private:
  struct Leaf {
    std::string name;
    Tensor weight;  // holds the values and the gradient
    std::vector<double> values;
  };

  double random();
  Tensor add_leaf(std::string_view name, Shape shape, std::vector<double> values, DType dtype,
                  DType gradient_dtype);
  void spoil_unused_gradients();
  void fill(Tensor t, const std::vector<double>& values);

  DType dtype_;
  std::uint64_t random_state_ = 1;
  Program program_;
  std::unique_ptr<Backend> own_backend_;  // where none is given
  Backend& backend_;
  std::vector<Leaf> leaves_;
  std::vector<Tensor> outputs_;
  std::vector<double> upstream_;
  std::vector<std::pair<Tensor, std::vector<double>>> filled_;
  std::vector<std::pair<Tensor, std::vector<std::byte>>> raw_;
  std::function<void(Program&)> pass_;
  StepState state_;
  std::unique_ptr<Executor> executor_;
};

}  // namespace ingot

// A trained or frozen tensor and how it relates to the outside world.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/numbers/dtype.h"
#include "engine/program/tensor.h"

namespace ingot {

// How numbers that outlive a step are stored; ops/state_forms says how each is coded.
enum class StateForm : std::uint8_t { f32, bf16, f16, bf16_residual, int8, dynamic8, log8 };
constexpr int kStateFormCount = 7;

// The form of plain f32, bf16 or f16 numbers, with nothing beside them.
constexpr StateForm plain_form(DType dtype) {
  if (dtype == DType::f32) return StateForm::f32;
  return dtype == DType::bf16 ? StateForm::bf16 : StateForm::f16;
}

// The tensors that hold one state of a weight: its values, a moment, the sum of its gradients.
struct WeightState {
  StateForm form = StateForm::f32;
  Tensor values;
  Tensor extra;  // what the form keeps beside its values, or none

  explicit operator bool() const { return static_cast<bool>(values); }
};

enum class Learning : std::uint8_t {
  frozen,    // nothing moves it: it has no gradient and no moments
  gradient,  // the optimizer moves it by its gradient
  rule,      // another op moves it (the routers' selection bias)
};

// Weights that are saved, loaded and exported together.
struct WeightSet {
  enum class Kind : std::uint8_t { model, adapter, teacher };
  Kind kind = Kind::model;
  std::string name;  // the scope of the set's tensors; empty for the model
};

// A contiguous block of a weight that is a tensor of its own in checkpoints, or a rectangle of one.
struct WeightPart {
  std::string name;         // in Hugging Face checkpoints
  std::int64_t offset = 0;  // in elements, from the start of the weight
  Shape shape;
  Shape whole = shape;                  // of the checkpoint's tensor
  std::array<std::int64_t, 4> first{};  // where in it this block begins, by axis
};

struct Weight {
  std::string name;  // in the program
  Shape shape;
  WeightState value;     // what updates move, or what is only read
  WeightState gradient;  // what updates read, summed over micro-steps
  WeightState first_moment, second_moment;
  // What ops read: value.values itself, its copy in compute precision, or a transient that an op
  // makes from codes before it is used.
  Tensor compute;
  Learning learning = Learning::gradient;
  int set = 0;                    // index into Program::sets()
  bool owner = true;              // this rank counts it in the norm and writes it
  std::vector<WeightPart> parts;  // contiguous blocks that cover the tensor
  double init_std = 0;            // normal(0, init_std); 0: constant init_value
  double init_value = 0;
  bool decayed = false;  // weight decay applies (two or more dimensions)

  // The copy in compute precision, which whoever changes an f32 value rounds anew; none where ops
  // read the value itself or what is made from its codes.
  Tensor rounded_copy() const {
    return value.form == StateForm::f32 && compute.id != value.values.id ? compute : Tensor{};
  }
};

}  // namespace ingot

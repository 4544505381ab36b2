// Reverse-mode differentiation of a program: appends, for the forward ops of the current part in
// reverse order, what each op kind's gradient rule asks for.
//
// A gradient is a buffer, not a value: the first op that contributes overwrites it, later ones
// accumulate into it. Gradients of activations have the shape and dtype of their tensor; those of
// weights are Weight::gradient, persistent, sums over the micro-steps of an update: the first op
// that contributes to one overwrites it in the first turn of an update, so that nobody has to
// clear it.
#pragma once

#include <vector>

#include "engine/program/program.h"

namespace ingot {

// What gradient rules work with.
class Gradients {
 public:
  explicit Gradients(Program& program) : program_(program) {}

  Program& program() { return program_; }

  // The gradient of an op's output, or a null Tensor when nothing flows into it. In place ops may
  // transform it where it is.
  Tensor of(Tensor output) const;

  // Whether anything can be learned upstream of this input.
  bool wanted(Tensor input) const;

  // Where to put a gradient: overwrite the tensor, or add to what is there. A weight's is added to
  // unless `first`, which the kernel reads as an attribute (engine/program/gradient_start.h).
  struct Target {
    Tensor tensor;
    bool accumulate = false;
    bool first = false;
    explicit operator bool() const { return static_cast<bool>(tensor); }
  };
  // The gradient buffer of an input. Marks its columns as written. Null when not wanted().
  Target into(Tensor input);

  // Lets the gradient of `input`, where it is that of `output` unchanged, be the same buffer, which
  // costs neither memory nor time. False where it can't be: then it has to be added
  // (pass_gradient() in ops/add does both). Call it after the ops of this rule that read of(output)
  // were appended.
  bool share(Tensor output, Tensor input);

 private:
  friend void differentiate(Program& program);

  struct Buffer {
    Tensor tensor;                                               // whole
    std::vector<std::pair<std::int64_t, std::int64_t>> written;  // disjoint [first, last) columns
  };

  Buffer& buffer_of(Tensor t);
  Target into_weight(Tensor gradient);
  bool covered(const Buffer& buffer, Tensor view) const;

  Program& program_;
  std::vector<Buffer> buffers_;  // by tensor id
  std::vector<bool> needed_;     // by tensor id: is a weight, or depends on one
};

// Appends the backward ops for every forward op of the current part.
void differentiate(Program& program);

}  // namespace ingot

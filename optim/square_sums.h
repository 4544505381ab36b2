// The norm of the gradients in the pass that writes them: ops that can do so leave the sums of
// their gradient's squares behind (engine/execution/gradient_squares.h).
#pragma once

#include <vector>

#include "engine/program/program.h"

namespace ingot {

struct NormOperands {
  std::vector<Tensor> gradients;  // whose squares are still to be summed
  std::vector<Tensor> sums;       // of the squares of the others
};

// Called when all ops of the micro-step are there. Gives the op that writes a gradient last an
// output for the sums, where its kind can leave them (OpKind::square_sums): matrix products, and
// what adds the gradient to a sum in fewer bits. Their squares are complete after the update's last
// micro-step (Turn::last).
NormOperands leave_square_sums(Program& program, const std::vector<Tensor>& gradients);

}  // namespace ingot

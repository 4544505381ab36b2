// What passes that change the ops of a finished program share.
#pragma once

#include <vector>

#include "engine/program/program.h"

namespace ingot {

// Runs body(ops, i) for each op of the program, which takes the op's place: body appends it, moved
// or copied, and what else there is to be in its part, phase, layer and scope.
template <class Body>
void rewrite_ops(Program& program, const Body& body) {
  std::vector<Op> ops = program.take_ops();
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const At place(program, ops[i]);
    body(ops, i);
  }
}

}  // namespace ingot

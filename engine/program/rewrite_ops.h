// What passes that change the ops of a finished program share.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/program/program.h"

namespace ingot {

// Whether two views have an element in common.
inline bool overlap(Tensor a, Tensor b) {
  return a.id == b.id && a.column < b.column + b.columns && b.column < a.column + a.columns;
}

// Runs body(ops, i) for each op of the program, which takes the op's place: body appends it, moved
// or copied, and what else there is to be in its part, phase, layer and scope.
template <class Body>
void rewrite_ops(Program& program, const Body& body) {
  const int layer = program.layer();
  const std::string scope = program.scope();
  const Phase phase = program.phase();
  std::vector<Op> ops = program.take_ops();
  for (std::size_t i = 0; i < ops.size(); ++i) {
    program.set_part(ops[i].part);
    program.set_phase(ops[i].phase);
    program.set_layer(ops[i].layer);
    program.set_scope(ops[i].name);
    body(ops, i);
  }
  program.set_phase(phase);
  program.set_layer(layer);
  program.set_scope(scope);
}

}  // namespace ingot

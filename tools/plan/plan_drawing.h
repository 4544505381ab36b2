// A memory plan as a picture: live bytes by role over the ops of a run, the peak, and the largest
// tensors that lie there. For `ingot plan --svg`.
#pragma once

#include <string>

#include "engine/program/program.h"
#include "memory/plan.h"

namespace ingot {

// An SVG document. `subtitle` says which run it is. The program has at least one op.
std::string memory_drawing(const Program& program, const BoundProgram& bound,
                           const MemoryPlan& plan, std::string_view subtitle);

}  // namespace ingot

// Weights packed once a step instead of in each product: a pass over a finished program (all
// parts). For accumulation: with one micro-step a step there is nothing to gain.
#pragma once

#include <cstdint>

#include "engine/program/program.h"

namespace ingot {

// Gives products of the micro-step (linear, grouped_linear, their dgrads) their weight packed as
// well (ops/pack_weight), where that saves time over a step of `micro_steps`: weights that lie in
// the arena, as floats of the type of the other operands, and are not multiplied in int8. All
// that use a weight the same way share one copy. Results stay the same to the bit. Returns how many
// copies there are.
int pack_weights(Program& program, std::int64_t micro_steps);

}  // namespace ingot

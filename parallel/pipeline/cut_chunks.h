// Cuts the micro-step into the parts of a pipeline: forward and backward of each chunk of layers. A
// pass over a finished program: ops stay in their order, each is only said to be of another part,
//
//   micro_step   ->   forward 0, forward 1, ..., backward 1, backward 0
//
// so the list still means what it did. What a part hands to another must then be kept for each
// micro-batch of its own: mark_frames() (memory/frames.h).
#pragma once

#include <span>

#include "engine/program/program.h"

namespace ingot {

// first_layers: where each chunk but the first one begins, ascending; none: nothing is cut. What
// stands in front of the layers (the embedding) is of the first chunk, what stands behind them
// (head, MTP modules) of the last. Throws std::logic_error where a chunk would have no layers.
void cut_into_chunks(Program& program, std::span<const int> first_layers);

}  // namespace ingot

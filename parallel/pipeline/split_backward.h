// Splits the backward part of each chunk: gradients of weights, which only the update waits for,
// become a part of their own behind it, so that a schedule may do them when nothing else is ready
// (zero bubble, arXiv 2401.10241). Ops are moved, never made anew; a gradient that one of them
// reads and a later op of backward adds to in place (the residual stream's) is copied first.
#pragma once

#include "engine/program/program.h"

namespace ingot {

// After cut_into_chunks(). What stays in backward: ops that also make gradients of activations (the
// fused head, norms), and those of weights that several chunks have (tied embeddings): backward
// parts come one after the other, so that the sum is begun by the chunk that should.
void split_backward(Program& program);

}  // namespace ingot

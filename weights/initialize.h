// Fresh weights: normal(0, initializer_range) for matrices, constants for the rest. The values of a
// tensor depend on the seed and its checkpoint name alone, not on how tensors are fused or ordered.
#pragma once

#include <cstdint>

#include "engine/execution/executor.h"

namespace ingot {

// Writes every weight's master and compute copy; uses up to `threads` threads.
void initialize_weights(Executor& executor, std::uint64_t seed, int threads);

}  // namespace ingot

// Which activations to keep, to keep in 8 bits, and to compute again: by name, or by the price of
// memory (spec/memory.md B3, E1, G7).
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "memory/passes/saved_activations.h"

namespace ingot {

// Levels that need no measurement, each smaller than the one before.
enum class ActivationLevel {
  keep,       // everything as it is
  int8,       // 8 bits; element-wise results (norms, SwiGLU, gathered rows) are computed again
  compact,    // also computed again: projections that take less than 4 kFLOP a byte (MLA's q, k, v)
  recompute,  // everything within a layer is computed again from the layer's input
};

// By tensor id, for store_activations().
std::vector<Storage> storage_at(const Program& program, std::span<const SavedActivation> saved,
                                ActivationLevel level);

// What each choice for one activation costs in time, given the time of ops.
struct StorageCosts {
  double int8_seconds = 0;       // quantize and dequantize
  double recompute_seconds = 0;  // the ops run again
};

// For each activation the choice with the least seconds + price * bytes, at a price in seconds a
// byte. Rising prices give the lower convex hull of time over memory (E1).
Storage cheapest_storage(const SavedActivation& activation, const StorageCosts& costs,
                         double price);

}  // namespace ingot

// Offsets for buffers in one arena (dynamic storage allocation, NP-complete; spec/memory.md G2).
//
// The best of several greedy orders, then hill climbs on the order if that is not near enough to
// the lower bound. Effort is counted in work, never in time: the same buffers and options give the
// same offsets on every machine. What pack() returns has passed find_misplacement().
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "memory/packing/buffer.h"

namespace ingot {

struct PackingOptions {
  std::int64_t alignment = 256;  // of every offset, in bytes; sizes are rounded up to it
  // Climbs start only if greedy orders alone stay further above the lower bound than this part of
  // it, and end when one is that near.
  double tolerance = 0.0005;
  int climb_tries = 1000;  // reorderings; 0: greedy orders only, of which one usually suffices
  // From the same start; more than one only for as long as the best stays further above the bound
  // than good_enough.
  int climbs = 12;
  double good_enough = 0.002;
  std::uint64_t seed = 1;  // of the first
  // Bound of their work together, in buffers looked at (1 to 2 ns each); of one climb: a quarter.
  std::int64_t climb_work = 400'000'000;
};

struct Packing {
  std::vector<std::int64_t> offsets;   // [buffers], in bytes, multiples of the alignment
  std::int64_t total_bytes = 0;        // of the arena
  std::int64_t lower_bound_bytes = 0;  // no packing can be smaller
};

// Errors: usage if a buffer or the alignment breaks its contract, budget if the sizes together pass
// 2^62 bytes.
Packing pack(std::span<const Buffer> buffers, const PackingOptions& options = {});

// The largest sum of the aligned sizes of the buffers alive at one op. Errors as pack().
std::int64_t lower_bound(std::span<const Buffer> buffers, std::int64_t alignment = 256);

}  // namespace ingot

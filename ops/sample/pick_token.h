// Picks a token from logits: greedy, or by temperature, top-k, top-p and min-p, from counter-based
// random numbers, so that a seed and a place in a text give the same token every time.
#pragma once

#include <cstdint>
#include <span>

namespace ingot {

// What one sequence's next token is picked by; plain bytes, as a device reads them.
struct SampleRow {
  double temperature = 0;  // 0: the likeliest
  double top_p = 1;        // smallest set of most likely tokens with at least this probability
  double min_p = 0;        // only tokens with at least this share of the likeliest's probability
  std::int64_t top_k = 0;  // only the k most likely; 0: all
  std::uint64_t seed = 0;
  std::uint64_t text = 0, draw = 0;    // which of several texts, and how many tokens it has so far
  std::int64_t wants_probability = 0;  // 1: of the token that is picked; costs a pass over all
};

struct Picked {
  std::int32_t token = 0;
  float log_probability = 0;  // by the logits as they are, whatever the temperature; 0: not wanted
};

// scratch: of [logits.size()] each. Ties go to the lower token; what is not a number counts as
// impossible.
Picked pick_token(std::span<const float> logits, const SampleRow& row,
                  std::span<std::int32_t> order, std::span<double> weights);

}  // namespace ingot

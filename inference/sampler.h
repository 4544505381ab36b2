// Picks the next token from logits: greedy, or by temperature, top-k and top-p, from counter-based
// random numbers, so that a seed and a position give the same token every time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ingot {

struct SamplingOptions {
  double temperature = 0;  // 0: greedy
  double top_p = 1;        // smallest set of most likely tokens with at least this probability
  std::int64_t top_k = 0;  // only the k most likely; 0: all
  std::uint64_t seed = 0;
};

class Sampler {
 public:
  Sampler(SamplingOptions options, std::int64_t vocabulary);

  // logits [vocabulary]. draw: counts the tokens of a text; text: of several at once, which draw
  // independently. Ties go to the lower id.
  std::int32_t pick(std::span<const float> logits, std::uint64_t draw, std::uint64_t text = 0);

 private:
  void order_more(std::span<const float> logits, std::size_t count);

  SamplingOptions options_;
  std::vector<std::int32_t> order_;  // tokens, the likeliest first as far as `ordered_`
  std::size_t ordered_ = 0;
  std::vector<double> weights_;  // of tokens, relative to the likeliest's
};

}  // namespace ingot

// The angles of rotary embeddings and their scalings for long context (spec: Llama 3; YaRN,
// arXiv 2309.00071). Computed in double precision.
#pragma once

#include <cstdint>
#include <vector>

namespace ingot {

enum class RopeScaling { none, linear, llama3, yarn };

// What config.json says about the frequencies; fields that `scaling` does not use are ignored.
struct RopeFrequencies {
  std::int64_t half = 0;  // pairs of channels; the rotary width is 2 * half
  double base = 10000;    // rope_theta
  RopeScaling scaling = RopeScaling::none;
  double factor = 1;                                           // linear, llama3, yarn
  double original_positions = 0;                               // llama3, yarn
  double low_frequency_factor = 1, high_frequency_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;                        // yarn
  bool truncate = true;                   // yarn: whole channels bound the ramp
  double mscale = 0, mscale_all_dim = 0;  // yarn; mscale_all_dim: also the others; 0: not given
  double attention_factor = 0;            // yarn; overrides mscale unless 0
};

// Radians per position of each pair [half].
std::vector<double> rope_frequencies(const RopeFrequencies& frequencies);

// The factor that cos and sin are multiplied by: 1 except for some YaRN configs.
double rope_attention_factor(const RopeFrequencies& frequencies);

// The factor on the softmax scale of latent attention, mscale^2: 1 unless a scaling has
// mscale_all_dim. Other attention knows no such factor.
double rope_softmax_factor(const RopeFrequencies& frequencies);

// [positions, 2 * half]: for each position the half cosines, then the half sines, both times
// rope_attention_factor().
std::vector<float> rope_table(const RopeFrequencies& frequencies, std::int64_t positions);

}  // namespace ingot

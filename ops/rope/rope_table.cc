#include "ops/rope/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ingot {
namespace {

// Llama 3: long waves are stretched by `factor`, short ones kept, those between are blended.
double llama3_frequency(double frequency, const RopeFrequencies& f) {
  const double wave = 2 * std::numbers::pi / frequency;
  if (wave > f.original_positions / f.low_frequency_factor) return frequency / f.factor;
  if (wave < f.original_positions / f.high_frequency_factor) return frequency;
  const double blend = (f.original_positions / wave - f.low_frequency_factor) /
                       (f.high_frequency_factor - f.low_frequency_factor);
  return (1 - blend) * frequency / f.factor + blend * frequency;
}

// YaRN, "NTK by parts": pairs that turn more than beta_fast times over the original context keep
// their frequency, those that turn less than beta_slow times are stretched by `factor`.
void yarn(std::vector<double>& frequencies, const RopeFrequencies& f) {
  const double width = 2.0 * static_cast<double>(f.half);
  const auto pair_that_turns = [&](double times) {
    return width * std::log(f.original_positions / (times * 2 * std::numbers::pi)) /
           (2 * std::log(f.base));
  };
  double low = pair_that_turns(f.beta_fast), high = pair_that_turns(f.beta_slow);
  if (f.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, width - 1);  // of the width, not of the pairs: as published
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] * (1 - ramp) + frequencies[i] / f.factor * ramp;
  }
}

double yarn_mscale(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

}  // namespace

std::vector<double> rope_frequencies(const RopeFrequencies& f) {
  std::vector<double> frequencies(f.half);
  for (std::int64_t i = 0; i < f.half; ++i) {
    const double exponent = static_cast<double>(i) / static_cast<double>(f.half);
    frequencies[i] = std::pow(f.base, -exponent);
    if (f.scaling == RopeScaling::linear) frequencies[i] /= f.factor;
    if (f.scaling == RopeScaling::llama3) frequencies[i] = llama3_frequency(frequencies[i], f);
  }
  if (f.scaling == RopeScaling::yarn) yarn(frequencies, f);
  return frequencies;
}

double rope_attention_factor(const RopeFrequencies& f) {
  if (f.scaling != RopeScaling::yarn) return 1;
  if (f.attention_factor != 0) return f.attention_factor;
  if (f.mscale != 0 && f.mscale_all_dim != 0) {
    return yarn_mscale(f.factor, f.mscale) / yarn_mscale(f.factor, f.mscale_all_dim);
  }
  return yarn_mscale(f.factor, 1);
}

double rope_softmax_factor(const RopeFrequencies& f) {
  if (f.scaling == RopeScaling::none || f.mscale_all_dim == 0) return 1;
  const double mscale = yarn_mscale(f.factor, f.mscale_all_dim);
  return mscale * mscale;
}

std::vector<float> rope_table(const RopeFrequencies& f, std::int64_t positions) {
  const std::vector<double> frequencies = rope_frequencies(f);
  const double factor = rope_attention_factor(f);
  std::vector<float> table;
  table.reserve(positions * 2 * f.half);
  for (std::int64_t position = 0; position < positions; ++position) {
    const auto at = static_cast<double>(position);
    for (const double w : frequencies)
      table.push_back(static_cast<float>(factor * std::cos(at * w)));
    for (const double w : frequencies)
      table.push_back(static_cast<float>(factor * std::sin(at * w)));
  }
  return table;
}

}  // namespace ingot

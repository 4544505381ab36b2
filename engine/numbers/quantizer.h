// The one definition of int8 quantization in ingot: for saved activations, weights without a master
// copy, optimizer states, messages and the operands of int8 matmuls. (memory.md A1; codes without
// -128 as in MXINT8, since the extra code biases gradients.)
//
// A row is cut into groups of `group` neighbours; the last group of a row may be shorter.
//   a = max |x| of the group,  scale = a / 127,  code = clamp(round(x * (127 / a)), -127, 127)
//   dequantized: code * scale
// Round to nearest: ties to even. Stochastic: up with a probability that is the fraction (in
// 65536ths), so the expected value is x; drawn by (key, row, column), where the key
// stands for (seed, step, micro-step, tensor): the same codes for any threads, tiles or level.
//
// Corner cases: a group with a < 1.5e-36 (scale would be subnormal) has scale 0 and codes 0.
// A group with a NaN or infinity has scale NaN and codes in range: all of it dequantizes to NaN, so
// the step's check finds it and the hunt names the tensor of scales.
//
// Below is the scalar form, which says what the codes are; quantizer_simd.h has the kernels, which
// give exactly these bits at every level.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>

#include "engine/numbers/random.h"
#include "engine/numbers/rounding_table.h"

namespace ingot {

constexpr std::int64_t kQuantizerGroup = 128;  // default; 32 is the more accurate option
constexpr float kLargestCode = 127;
// Smallest a whose scale is a normal number.
constexpr float kSmallestAmax = 127 * 0x1p-126f;

// Groups are a multiple of 32 or cover the whole row.
constexpr std::int64_t quantizer_groups(std::int64_t columns, std::int64_t group) {
  return (columns + group - 1) / group;
}

// Stands for one tensor in one micro-step of one step. `tensor`: any number that is the tensor's
// own.
inline std::uint64_t rounding_key(std::uint64_t seed, std::int64_t step, std::int64_t micro_step,
                                  std::uint64_t tensor) {
  const auto words =
      philox(seed, tensor,
             static_cast<std::uint64_t>(step) << 24 ^ static_cast<std::uint64_t>(micro_step));
  return std::uint64_t{words[0]} << 32 | words[1];
}

// The key of one row (SplitMix64's finalizer).
constexpr std::uint64_t rounding_row_key(std::uint64_t key, std::int64_t row) {
  std::uint64_t z = key + (static_cast<std::uint64_t>(row) + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

// Where a block of kRoundingBlock columns reads kRoundingTable, and the mask of its numbers.
struct RoundingDraw {
  std::uint32_t place, mask;
};
constexpr RoundingDraw rounding_draw(std::uint64_t row_key, std::uint64_t block) {
  std::uint64_t z = row_key + block * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 32) * 0xD6E8FEB86659FD93u;
  z ^= z >> 32;
  return {static_cast<std::uint32_t>((z >> 32) * kRoundingPeriod >> 32),
          static_cast<std::uint32_t>(z & 0xFFFF)};
}

// Uniform in 0..65535.
inline std::int32_t rounding_bits(std::uint64_t row_key, std::uint32_t column) {
  const RoundingDraw draw = rounding_draw(row_key, column / kRoundingBlock);
  return static_cast<std::int32_t>(kRoundingTable.numbers[draw.place + column % kRoundingBlock] ^
                                   draw.mask);
}

// What a group's codes are made with; amax is max |x|, or anything not finite.
struct QuantizerScale {
  float scale, inverse;
};
inline QuantizerScale quantizer_scale(float amax) {
  if (!std::isfinite(amax)) return {NAN, 0};
  if (amax < kSmallestAmax) return {0, 0};
  return {amax / kLargestCode, kLargestCode / amax};
}

inline std::int8_t quantize_nearest(float value, float inverse) {
  const float scaled = value * inverse;
  const float at_least = scaled > -kLargestCode ? scaled : -kLargestCode;  // NaN: -127
  return static_cast<std::int8_t>(
      std::nearbyint(at_least < kLargestCode ? at_least : kLargestCode));
}

// bits: rounding_bits()
inline std::int8_t quantize_stochastic(float value, float inverse, std::int32_t bits) {
  const float scaled = value * inverse;
  const float at_least = scaled > -kLargestCode ? scaled : -kLargestCode;
  const float in_range = at_least < kLargestCode ? at_least : kLargestCode;
  const auto fixed = static_cast<std::int32_t>(std::nearbyint(in_range * 65536));
  return static_cast<std::int8_t>((fixed + bits) >> 16);
}

}  // namespace ingot

// Random bits for stochastic rounding, read instead of computing a hash for each element: sixteen
// shifted copies, one for each bit, of a sequence that looks random, the longest one that a shift
// register of 11 bits with linear feedback makes. From any place on and XORed with a random mask,
// any two of its numbers are as good as independent: the correlation of such a sequence with
// itself, shifted, is -1 / 2047. (Golomb, Shift Register Sequences.) No functions here: kernels
// include it.
#pragma once

#include <cstdint>

namespace ingot {

constexpr std::int64_t kRoundingPeriod = 2047;
constexpr std::int64_t kRoundingBlock = 32;  // neighbours in a row that share place and mask

struct RoundingTable {
  // Whole blocks from any place in 0..kRoundingPeriod - 1.
  std::uint16_t numbers[kRoundingPeriod - 1 + kRoundingBlock];
};
extern const RoundingTable kRoundingTable;

}  // namespace ingot

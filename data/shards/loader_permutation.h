// A pseudo-random permutation of 0 .. size-1, computed for one index at a time: no table, so that
// an epoch of a billion samples costs no memory and any position can be asked for.
//
// A balanced Feistel network permutes the next even power of two; an index that lands outside is
// permuted again until it falls inside ("cycle walking", Black and Rogaway 2002): fewer than four
// rounds on average beyond 256 samples.
#pragma once

#include <array>
#include <cstdint>

namespace ingot {

class SamplePermutation {
 public:
  // size: at least 1. The order depends on seed and epoch alone.
  SamplePermutation(std::int64_t size, std::uint64_t seed, std::int64_t epoch);

  // index: 0 .. size-1.
  std::int64_t operator()(std::int64_t index) const;

 private:
  static constexpr int kRounds = 6;

  std::uint64_t size_;
  int half_bits_;
  std::array<std::uint64_t, kRounds> keys_;
};

}  // namespace ingot

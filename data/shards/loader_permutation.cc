#include "data/shards/loader_permutation.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace ingot {
namespace {

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit.
constexpr std::uint64_t mix(std::uint64_t z) {
  z += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// Below 256 the network has too few bits to mix well.
constexpr int kSmallestHalf = 4;

}  // namespace

SamplePermutation::SamplePermutation(std::int64_t size, std::uint64_t seed, std::int64_t epoch)
    : size_(static_cast<std::uint64_t>(size)) {
  if (size < 1) throw std::logic_error("a permutation of nothing");
  half_bits_ = std::max(kSmallestHalf, static_cast<int>(std::bit_width(size_ - 1) + 1) / 2);
  std::uint64_t key = mix(mix(seed) ^ static_cast<std::uint64_t>(epoch));
  for (auto& round_key : keys_) round_key = key = mix(key);
}

std::int64_t SamplePermutation::operator()(std::int64_t index) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  auto value = static_cast<std::uint64_t>(index);
  do {
    std::uint64_t left = value >> half_bits_, right = value & mask;
    for (const std::uint64_t key : keys_) {
      const std::uint64_t next = left ^ (mix(right ^ key) & mask);
      left = right;
      right = next;
    }
    value = (left << half_bits_) | right;
  } while (value >= size_);
  return static_cast<std::int64_t>(value);
}

}  // namespace ingot

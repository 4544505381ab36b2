// A corpus mutation engine for tests of parsers: from a valid input it makes broken ones, the same
// ones on every run. It knows text (JSON: numbers, brackets, strings) and binary headers
// (little-endian integers).
//
//   fuzz::Rng rng(1);
//   for (int i = 0; i < 20000; ++i) expect_error_or_success(fuzz::mutate(seed_input, rng));
//
// An output is at most a few KiB longer than its seed (deep nesting: up to 100,000 bytes, rarely).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ingot::fuzz {

// SplitMix64: one word of state, so a failing input can be made again from the printed seed.
class Rng {
 public:
  explicit Rng(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // In [0, bound); 0 for bound 0. The bias of the remainder is of no concern here.
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : next() % bound; }
  bool one_in(std::size_t n) { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

// One to eight random mutations of seed_input, one after the other.
std::string mutate(std::string_view seed_input, Rng& rng);

// The same, and sometimes a piece of `other` is spliced in.
std::string mutate(std::string_view seed_input, std::string_view other, Rng& rng);

}  // namespace ingot::fuzz

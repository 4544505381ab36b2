// Random tiny models of all families, for tests that try many programs.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "engine/numbers/random.h"

namespace ingot {

// Draws for one program.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed) {}

  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(random_uniform(seed_, 1, drawn_++) * static_cast<double>(n));
  }
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[below(static_cast<std::int64_t>(values.size()))];
  }

 private:
  std::uint64_t seed_, drawn_ = 0;
};

// The text of a config.json: tiny_model() of a random family in random sizes.
std::string random_model(Dice& dice);

}  // namespace ingot

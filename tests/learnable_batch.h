// What a test's step is fed with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "tests/tiny_run.h"

namespace ingot {

// One walk of the tiny models' vocabulary over the whole batch, and what follows each token.
inline void learnable_batch(std::uint64_t seed, std::span<std::int32_t> tokens,
                            std::span<std::int32_t> targets) {
  const auto walk = learnable_tokens(tokens.size() + 1, 64, seed);
  std::copy(walk.begin(), walk.end() - 1, tokens.begin());
  std::copy(walk.begin() + 1, walk.end(), targets.begin());
}

}  // namespace ingot

// How attention over a cache is split along the keys, so that a few queries keep all cores busy.
// By shape only: the same for any number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/attention/flash_simd.h"
#include "ops/cached_attention/decode_simd.h"

namespace ingot::cpu {

struct KeyParts {
  // At most `most` parts of at least `least_keys` keys, whole blocks.
  KeyParts(std::int64_t capacity, std::int64_t most, std::int64_t least_keys)
      : keys(std::max(least_keys, (capacity + most - 1) / most)) {
    keys = (keys + kFlashBlock - 1) / kFlashBlock * kFlashBlock;
    count = (capacity + keys - 1) / keys;
  }
  // Of a row that sees `visible` keys.
  std::int64_t used(std::int64_t visible) const { return (visible + keys - 1) / keys; }

  std::int64_t keys;   // of one part
  std::int64_t count;  // <= kCombineParts
};

// Queries so few that their partial results cost little memory are split along the keys.
constexpr std::int64_t kMostSplitRows = 256;

}  // namespace ingot::cpu

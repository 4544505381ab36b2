#pragma once

#include <cstdint>

namespace ingot {

// The smallest multiple of alignment (> 0) that holds bytes.
constexpr std::int64_t align_up(std::int64_t bytes, std::int64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace ingot

// JSON from files nobody vouches for: depth and number of values are bounded, and a key that comes
// twice in one object is refused instead of the last one winning silently.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace ingot {

struct JsonLimits {
  std::size_t depth = 64;
  std::size_t values = 4'000'000;  // some 64 bytes each
};

// Error(data) naming the file and the byte.
nlohmann::json parse_strict_json(std::string_view text, const std::filesystem::path& file,
                                 const JsonLimits& limits = {});

}  // namespace ingot

// Checks of what the command line says whose messages a reader understands.
#pragma once

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

namespace ingot {

// For words whose absence means something else than "".
inline CLI::Validator not_empty() {
  return CLI::Validator(
      [](const std::string& text) {
        return text.empty() ? std::string("is empty") : std::string();
      },
      "");
}

inline CLI::Validator integer_between(std::int64_t least, std::int64_t most) {
  return CLI::Validator(
      [=](const std::string& text) {
        std::int64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool whole = error == std::errc() && end == text.data() + text.size();
        if (whole && value >= least && value <= most) return std::string();
        return "'" + text + "' is not an integer from " + std::to_string(least) + " to " +
               std::to_string(most);
      },
      "INTEGER");
}

inline CLI::Validator number_between(double least, double most) {
  return CLI::Validator(
      [=](const std::string& text) {
        double value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool whole = error == std::errc() && end == text.data() + text.size();
        const bool in_fp32 = value == 0 || std::fabs(value) >= std::numeric_limits<float>::min();
        if (whole && value >= least && value <= most) {  // not for NaN
          return in_fp32 ? std::string() : fmt::format("'{}' is too small for fp32", text);
        }
        return fmt::format("'{}' is not a number from {:g} to {:g}", text, least, most);
      },
      "NUMBER");
}

// More than any count here; keeps sums and products of two flags inside 64 bits.
constexpr std::int64_t kMostCount = std::int64_t{1} << 24;
inline CLI::Validator count_from(std::int64_t least) { return integer_between(least, kMostCount); }

}  // namespace ingot

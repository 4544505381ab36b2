// For tests of attention that reads a text step by step, with a cache: what belongs to a step, and
// the comparison with what attention over the whole text gives.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "ops/testing/op_check.h"

namespace ingot {

struct TextInSteps {
  std::int64_t batch = 1;
  std::vector<std::int64_t> steps;  // tokens of each sequence that are read at a time

  std::int64_t length() const {
    return std::accumulate(steps.begin(), steps.end(), std::int64_t{0});
  }

  // Rows [first, first + count) of each sequence; all: [batch * length(), columns].
  std::vector<double> rows_of(const std::vector<double>& all, std::int64_t first,
                              std::int64_t count) const {
    const auto columns = static_cast<std::int64_t>(all.size()) / (batch * length());
    std::vector<double> rows;
    for (std::int64_t b = 0; b < batch; ++b) {
      const auto begin = all.begin() + (b * length() + first) * columns;
      rows.insert(rows.end(), begin, begin + count * columns);
    }
    return rows;
  }

  // Of those rows' tokens in their sequences.
  std::vector<std::int32_t> positions_of(std::int64_t first, std::int64_t count) const {
    std::vector<std::int32_t> positions;
    for (std::int64_t i = 0; i < batch * count; ++i) {
      positions.push_back(static_cast<std::int32_t>(first + i % count));
    }
    return positions;
  }

  // outputs: of each step; expected: of the whole text. Fills `bytes`, if given, with what came.
  void expect_steps(const OpCheck& check, std::span<const Tensor> outputs,
                    const std::vector<double>& expected, double tolerance,
                    std::vector<std::vector<std::byte>>* bytes) const {
    std::int64_t first = 0;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      EXPECT_LE(largest_difference(check.value(outputs[i]), rows_of(expected, first, steps[i])),
                tolerance)
          << "step " << i << " of " << steps[i] << " tokens";
      if (bytes != nullptr) bytes->push_back(check.bytes(outputs[i]));
      first += steps[i];
    }
  }

 private:
  static double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
    double worst = a.size() == b.size() ? 0 : INFINITY;
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
      const double difference = std::fabs(a[i] - b[i]);
      worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
    }
    return worst;
  }
};

}  // namespace ingot

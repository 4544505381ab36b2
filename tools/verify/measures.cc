#include "tools/verify/measures.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace ingot {

double relative_error(std::span<const float> actual, std::span<const float> expected) {
  if (actual.size() != expected.size()) return INFINITY;
  double most = 0, worst = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    most = std::max(most, std::fabs(static_cast<double>(expected[i])));
    const double difference = std::fabs(static_cast<double>(actual[i]) - expected[i]);
    if (std::isnan(difference)) return INFINITY;
    worst = std::max(worst, difference);
  }
  return most == 0 ? worst : worst / most;
}

double typical_error(std::span<const float> actual, std::span<const float> expected) {
  if (actual.size() != expected.size() || actual.empty()) return INFINITY;
  double squares = 0;
  std::vector<double> differences;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    squares += static_cast<double>(expected[i]) * expected[i];
    const double difference = std::fabs(static_cast<double>(actual[i]) - expected[i]);
    if (std::isnan(difference)) return INFINITY;
    differences.push_back(difference);
  }
  const auto middle = differences.begin() + static_cast<std::ptrdiff_t>(differences.size() / 2);
  std::nth_element(differences.begin(), middle, differences.end());
  const double size = std::sqrt(squares / static_cast<double>(actual.size()));
  return size == 0 ? *middle : *middle / size;
}

double mean_error(std::span<const float> actual, std::span<const float> expected) {
  if (actual.size() != expected.size()) return INFINITY;
  double wrong = 0, squares = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = static_cast<double>(actual[i]) - expected[i];
    if (std::isnan(difference)) return INFINITY;
    wrong += difference * difference;
    squares += static_cast<double>(expected[i]) * expected[i];
  }
  return squares == 0 ? std::sqrt(wrong) : std::sqrt(wrong / squares);
}

double worst_ratio(std::span<const float> actual, std::span<const float> expected) {
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double error = std::fabs(actual[i] - expected[i]) / std::fabs(expected[i]);
    if (std::isnan(error)) return INFINITY;
    worst = std::max(worst, error);
  }
  return worst;
}

}  // namespace ingot

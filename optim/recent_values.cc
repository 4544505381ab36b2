#include "optim/recent_values.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ingot {
namespace {

constexpr std::int64_t kEnoughToShow = 8;
constexpr std::int64_t kEnoughToJudge = 20;
// A flat curve has next to no deviation; below this share of the mean a step is no surprise.
constexpr double kLeastDeviation = 1e-6;

}  // namespace

RecentValues::RecentValues(std::int64_t window) : ring_(std::max(window, kEnoughToJudge)) {}

void RecentValues::add(double value) {
  if (!std::isfinite(value)) return;
  ring_[count_ % static_cast<std::int64_t>(ring_.size())] = value;
  ++count_;
}

std::int64_t RecentValues::size() const {
  return std::min(count_, static_cast<std::int64_t>(ring_.size()));
}

// Summed from the oldest on, wherever in the ring that is: a resumed run gets the same bits.
RecentValues::Moments RecentValues::moments() const {
  const auto capacity = static_cast<std::int64_t>(ring_.size());
  double sum = 0, squares = 0;
  for (std::int64_t i = count_ - size(); i < count_; ++i) sum += ring_[i % capacity];
  const double mean = sum / static_cast<double>(size());
  for (std::int64_t i = count_ - size(); i < count_; ++i) {
    squares += (ring_[i % capacity] - mean) * (ring_[i % capacity] - mean);
  }
  const double deviation = std::sqrt(squares / static_cast<double>(size()));
  return {mean, std::max(deviation, kLeastDeviation * std::fabs(mean))};
}

double RecentValues::z_score(double value) const {
  if (std::isnan(value)) return std::numeric_limits<double>::infinity();
  if (count_ < kEnoughToShow) return 0;
  const Moments m = moments();
  return m.deviation > 0 ? (value - m.mean) / m.deviation : 0;
}

double RecentValues::limit(double z) const {
  const auto half = static_cast<std::int64_t>(ring_.size()) / 2;
  if (count_ < std::max(kEnoughToJudge, half)) return std::numeric_limits<double>::infinity();
  const Moments m = moments();
  return m.mean + z * m.deviation;
}

std::vector<double> RecentValues::state() const {
  std::vector<double> values;
  const auto capacity = static_cast<std::int64_t>(ring_.size());
  for (std::int64_t i = count_ - size(); i < count_; ++i) {
    values.push_back(ring_[i % capacity]);
  }
  return values;
}

void RecentValues::restore(std::span<const double> values) {
  count_ = 0;
  for (const double value : values) add(value);
}

}  // namespace ingot

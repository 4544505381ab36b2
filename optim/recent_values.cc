#include "optim/recent_values.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ingot {
namespace {

constexpr std::int64_t kEnough = 8;
// A flat curve has next to no deviation; below this share of the mean a step is no surprise.
constexpr double kLeastDeviation = 1e-6;

}  // namespace

RecentValues::RecentValues(std::int64_t window) : ring_(std::max(window, kEnough)) {}

void RecentValues::add(double value) {
  if (!std::isfinite(value)) return;
  ring_[count_ % static_cast<std::int64_t>(ring_.size())] = value;
  ++count_;
}

RecentValues::Moments RecentValues::moments() const {
  const auto size = std::min(count_, static_cast<std::int64_t>(ring_.size()));
  double sum = 0, squares = 0;
  for (std::int64_t i = 0; i < size; ++i) sum += ring_[i];
  const double mean = sum / static_cast<double>(size);
  for (std::int64_t i = 0; i < size; ++i) squares += (ring_[i] - mean) * (ring_[i] - mean);
  const double deviation = std::sqrt(squares / static_cast<double>(size));
  return {mean, std::max(deviation, kLeastDeviation * std::fabs(mean))};
}

double RecentValues::z_score(double value) const {
  if (std::isnan(value)) return std::numeric_limits<double>::infinity();
  if (count_ < kEnough) return 0;
  const Moments m = moments();
  return m.deviation > 0 ? (value - m.mean) / m.deviation : 0;
}

double RecentValues::limit(double z) const {
  if (count_ < kEnough) return std::numeric_limits<double>::infinity();
  const Moments m = moments();
  return m.mean + z * m.deviation;
}

std::vector<double> RecentValues::state() const {
  std::vector<double> values;
  const auto capacity = static_cast<std::int64_t>(ring_.size());
  for (std::int64_t i = std::max<std::int64_t>(0, count_ - capacity); i < count_; ++i) {
    values.push_back(ring_[i % capacity]);
  }
  return values;
}

void RecentValues::restore(std::span<const double> values) {
  count_ = 0;
  for (const double value : values) add(value);
}

}  // namespace ingot

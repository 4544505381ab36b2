// Mean and deviation of the last values of a curve: the console's "(-0.3z)", and what counts as a
// spike.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ingot {

class RecentValues {
 public:
  // The last `window` values, 20 at least.
  explicit RecentValues(std::int64_t window);

  // Values that are not finite are left out.
  void add(double value);
  // Standard deviations above the mean; 0 until there are eight values, infinite for NaN.
  double z_score(double value) const;
  // The value whose z-score is z; infinite until half the window is there, 20 values at least: what
  // is judged by fewer is no surprise yet.
  double limit(double z) const;

  // For checkpoints: oldest first.
  std::vector<double> state() const;
  void restore(std::span<const double> values);

 private:
  struct Moments {
    double mean, deviation;
  };
  Moments moments() const;
  std::int64_t size() const;

  std::vector<double> ring_;
  std::int64_t count_ = 0;  // values ever added
};

}  // namespace ingot

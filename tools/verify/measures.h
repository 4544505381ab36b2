// How far numbers are from those of a reference. Infinite where counts differ; NaN counts as far.
#pragma once

#include <span>

namespace ingot {

// The largest difference, of the largest absolute value expected.
double relative_error(std::span<const float> actual, std::span<const float> expected);
// The difference that half of the elements stay within, of the root mean square.
double typical_error(std::span<const float> actual, std::span<const float> expected);
// The root mean square of the differences, of that of the values expected.
double mean_error(std::span<const float> actual, std::span<const float> expected);
// The largest difference of one, in relation to itself; of equally many.
double worst_ratio(std::span<const float> actual, std::span<const float> expected);

}  // namespace ingot

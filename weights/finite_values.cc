#include "weights/finite_values.h"

#include <algorithm>
#include <cmath>

#include "engine/base/error.h"

namespace ingot {

void require_finite(const std::string& name, const WeightPart& piece, std::span<const float> values,
                    const std::string& where) {
  // The sum of what is finite times 0 is 0: one pass that the compiler can turn into vectors.
  float sum = 0;
  for (const float value : values) sum += value * 0.0f;
  if (sum == 0) return;
  const auto bad = std::ranges::find_if(values, [](float value) { return !std::isfinite(value); });
  const std::int64_t columns = std::max<std::int64_t>(piece.shape.last(), 1);
  const std::int64_t row = (bad - values.begin()) / columns + piece.first[0];
  throw Error(ErrorCode::data,
              "'" + name + "' holds " + (std::isnan(*bad) ? "NaN" : "infinity") + " in row " +
                  std::to_string(row),
              where, "mend or fetch these weights again: a model with them cannot learn");
}

}  // namespace ingot

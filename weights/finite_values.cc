#include "weights/finite_values.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/base/error.h"

namespace ingot {
namespace {

// Whether no word has all bits of the exponent, as infinities and NaN do.
template <class Word>
bool all_finite(std::span<const std::byte> raw, Word exponent) {
  bool finite = true;
  for (std::size_t i = 0; i + sizeof(Word) <= raw.size(); i += sizeof(Word)) {
    Word word;
    std::memcpy(&word, raw.data() + i, sizeof word);
    finite &= (word & exponent) != exponent;
  }
  return finite;
}

}  // namespace

bool all_finite(StoredType type, std::span<const std::byte> raw) {
  switch (type) {
    case StoredType::f32:
      return all_finite<std::uint32_t>(raw, 0x7f800000u);
    case StoredType::bf16:
      return all_finite<std::uint16_t>(raw, 0x7f80u);
    case StoredType::f16:
      return all_finite<std::uint16_t>(raw, 0x7c00u);
    default:
      return true;  // codes
  }
}

void require_finite(const std::string& name, const WeightPart& piece, std::span<const float> values,
                    const std::string& where) {
  if (all_finite(StoredType::f32, std::as_bytes(values))) return;
  const auto bad = std::ranges::find_if(values, [](float value) { return !std::isfinite(value); });
  const std::int64_t columns = std::max<std::int64_t>(piece.shape.last(), 1);
  const std::int64_t row = (bad - values.begin()) / columns + piece.first[0];
  throw Error(ErrorCode::data,
              "'" + name + "' holds " + (std::isnan(*bad) ? "NaN" : "infinity") + " in row " +
                  std::to_string(row),
              where, "mend or fetch these weights again: a model with them cannot learn");
}

}  // namespace ingot

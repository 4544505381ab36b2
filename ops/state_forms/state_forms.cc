#include "ops/state_forms/state_forms.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>

#include "engine/numbers/quantizer.h"

namespace ingot {
namespace {

template <class T>
T load(const std::byte* from, std::int64_t i) {
  T value;
  std::memcpy(&value, from + i * static_cast<std::int64_t>(sizeof(T)), sizeof value);
  return value;
}

template <class T>
void store(std::byte* to, std::int64_t i, T value) {
  std::memcpy(to + i * static_cast<std::int64_t>(sizeof(T)), &value, sizeof value);
}

// Half a unit in the last place of a bf16 number; 0 where that is no normal float.
float half_unit(std::uint16_t bf16) {
  const int exponent = (bf16 >> 7) & 0xff;
  return exponent <= 8 ? 0.0f : std::ldexp(1.0f, exponent - 127 - 8);
}

float residual_value(std::uint16_t bf16, std::int8_t residual) {
  return bf16_to_float(bf16) + static_cast<float>(residual) * (half_unit(bf16) / 127);
}

std::int8_t residual_of(float value, std::uint16_t bf16) {
  const float unit = half_unit(bf16);
  if (unit == 0 || !std::isfinite(value)) return 0;
  const float residual = std::nearbyint((value - bf16_to_float(bf16)) / (unit / 127));
  return static_cast<std::int8_t>(std::clamp(residual, -127.0f, 127.0f));
}

// Position on the positive half of the dynamic map: 0 is 0, 1..127 the seven decades with 1, 2, 4,
// ... 64 numbers each, 128 is 1.
float dynamic_magnitude(int place) {
  if (place == 0) return 0;
  if (place == 128) return 1;
  const int decade = std::ilogb(static_cast<float>(place));
  const double numbers = std::ldexp(1.0, decade);
  return static_cast<float>(std::pow(10.0, decade - 6) *
                            (0.1 + 0.9 * (place - numbers + 0.5) / numbers));
}

std::uint8_t dynamic_code(float value) {
  const float magnitude = std::fabs(value);
  int low = 0, high = 128;  // the nearest place
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (dynamic_magnitude(middle) <= magnitude ? low : high) = middle;
  }
  const bool upper = dynamic_magnitude(high) - magnitude < magnitude - dynamic_magnitude(low);
  const int place = upper ? high : low;
  return static_cast<std::uint8_t>(value < 0 ? 127 - std::min(place, 127) : 127 + place);
}

// 2^low <= positive numbers of a group <= 2^high, at most kLogOctaves apart: what is below (1e-12
// of the largest) is lifted, so that a step stays under 12 %.
constexpr int kLogOctaves = 40;

struct LogBounds {
  std::int8_t low = 0, high = 0;

  bool operator==(const LogBounds&) const = default;

  double step() const {  // of the binary logarithm, from one code to the next
    return static_cast<double>(high - low) / 254;
  }
};

// Of a group with a number that is not finite: all of it is NaN.
constexpr LogBounds kPoison{127, -128};

LogBounds log_bounds(std::span<const float> values) {
  float most = 0, least = INFINITY;
  for (const float v : values) {
    if (!std::isfinite(v)) return kPoison;
    if (v <= 0) continue;
    most = std::max(most, v);
    least = std::min(least, v);
  }
  if (most == 0) return {};
  const bool power = std::ldexp(1.0f, std::ilogb(most)) == most;
  const int high = std::clamp(std::ilogb(most) + (power ? 0 : 1), -126, 127);
  const int low = std::clamp(std::ilogb(least), std::max(-126, high - kLogOctaves), high);
  return {static_cast<std::int8_t>(low), static_cast<std::int8_t>(high)};
}

std::uint8_t log_code(float value, const LogBounds& bounds) {
  if (value <= 0 || bounds == kPoison) return 0;
  if (bounds.step() == 0) return 1;
  const double place = std::nearbyint((std::log2(double{value}) - bounds.low) / bounds.step());
  return static_cast<std::uint8_t>(1 + std::clamp(place, 0.0, 254.0));
}

float log_value(std::uint8_t code, const LogBounds& bounds) {
  if (bounds == kPoison) return NAN;
  if (code == 0) return 0;
  return static_cast<float>(std::exp2(bounds.low + (code - 1) * bounds.step()));
}

// NaN where a number is not finite: as a scale it makes all of the group NaN.
float largest_magnitude(std::span<const float> values) {
  float largest = 0;
  for (const float v : values) {
    if (!std::isfinite(v)) return NAN;
    largest = std::max(largest, std::fabs(v));
  }
  return largest;
}

void encode_group(StateForm form, std::span<const float> values, std::byte* codes,
                  std::byte* extra) {
  const auto count = static_cast<std::int64_t>(values.size());
  const float largest = largest_magnitude(values);
  if (form == StateForm::int8) {
    const QuantizerScale scale = quantizer_scale(largest);
    store(extra, 0, scale.scale);
    for (std::int64_t i = 0; i < count; ++i) {
      store(codes, i, quantize_nearest(values[i], scale.inverse));
    }
  } else if (form == StateForm::dynamic8) {
    store(extra, 0, largest);
    for (std::int64_t i = 0; i < count; ++i) {
      store(codes, i, dynamic_code(largest == 0 ? 0 : values[i] / largest));
    }
  } else {
    const LogBounds bounds = log_bounds(values);
    store(extra, 0, bounds);
    for (std::int64_t i = 0; i < count; ++i) store(codes, i, log_code(values[i], bounds));
  }
}

void decode_group(StateForm form, const std::byte* codes, const std::byte* extra,
                  std::span<float> values) {
  const auto count = static_cast<std::int64_t>(values.size());
  for (std::int64_t i = 0; i < count; ++i) {
    if (form == StateForm::int8) {
      values[i] = static_cast<float>(load<std::int8_t>(codes, i)) * load<float>(extra, 0);
    } else if (form == StateForm::dynamic8) {
      values[i] = dynamic_value(load<std::uint8_t>(codes, i)) * load<float>(extra, 0);
    } else {
      values[i] = log_value(load<std::uint8_t>(codes, i), load<LogBounds>(extra, 0));
    }
  }
}

// In the order of StateForm.
struct FormParts {
  std::string_view name;
  DType values = DType::f32;
  std::optional<StateExtra> extra;
};
constexpr FormParts kForms[kStateFormCount] = {
    {"fp32", DType::f32, {}},
    {"bf16", DType::bf16, {}},
    {"fp16", DType::f16, {}},
    {"bf16_residual", DType::bf16, StateExtra{"residual", DType::i8, 0}},
    {"int8", DType::i8, StateExtra{"scale", DType::f32, 1}},
    {"dynamic8", DType::u8, StateExtra{"scale", DType::f32, 1}},
    {"log8", DType::u8, StateExtra{"bounds", DType::i8, 2}},
};
static_assert(sizeof(LogBounds) == 2 * size_of(DType::i8));

const FormParts& parts_of(StateForm form) { return kForms[static_cast<int>(form)]; }

bool grouped(StateForm form) {
  const StateExtra* extra = extra_of(form);
  return extra != nullptr && extra->per_group > 0;
}

std::int64_t extra_bytes_of_group(StateForm form) {
  const StateExtra& extra = *extra_of(form);
  return extra.per_group * size_of(extra.dtype);
}

// Calls each(first element, elements, group) for every group.
template <class Each>
void for_groups(const StateLayout& layout, Each each) {
  const std::int64_t per_row = layout.groups_per_row();
  for (std::int64_t group = 0; group < layout.groups(); ++group) {
    const std::int64_t column = group % per_row * kStateGroup;
    each(group / per_row * layout.columns + column, std::min(kStateGroup, layout.columns - column),
         group);
  }
}

}  // namespace

std::string_view name_of(StateForm form) { return parts_of(form).name; }

DType value_dtype(StateForm form) { return parts_of(form).values; }

const StateExtra* extra_of(StateForm form) {
  const std::optional<StateExtra>& extra = parts_of(form).extra;
  return extra ? &*extra : nullptr;
}

std::int64_t StateLayout::value_bytes(StateForm form) const {
  return columns * size_of(value_dtype(form));
}

std::int64_t StateLayout::extra_bytes(StateForm form) const {
  const StateExtra* extra = extra_of(form);
  if (extra == nullptr) return 0;
  const std::int64_t numbers = extra->per_group > 0 ? groups_per_row() * extra->per_group : columns;
  return numbers * size_of(extra->dtype);
}

StateLayout layout_of(const Program& program, const WeightState& state) {
  const Shape& shape = program.info(state.values).shape;
  return {.rows = shape.rows(), .columns = shape.last()};
}

WeightState add_state(Program& program, const std::string& name, const Shape& shape, StateForm form,
                      Role role) {
  WeightState state{.form = form};
  state.values = program.persistent(name, shape, value_dtype(form), role);
  if (const StateExtra* extra = extra_of(form)) {
    const StateLayout layout = layout_of(program, state);
    const Shape extra_shape = extra->per_group > 0
                                  ? Shape{layout.rows, layout.groups_per_row() * extra->per_group}
                                  : shape;
    state.extra =
        program.persistent(name + " " + std::string(extra->name), extra_shape, extra->dtype, role);
  }
  return state;
}

void encode_state(StateForm form, const StateLayout& layout, std::span<const float> values,
                  std::byte* to_values, std::byte* to_extra) {
  const std::int64_t count = layout.rows * layout.columns;
  if (static_cast<std::int64_t>(values.size()) != count) {
    throw std::logic_error("encode_state: whole rows are needed");
  }
  if (grouped(form)) {
    for_groups(layout, [&](std::int64_t first, std::int64_t elements, std::int64_t group) {
      encode_group(form, values.subspan(first, elements), to_values + first,
                   to_extra + group * extra_bytes_of_group(form));
    });
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    if (form == StateForm::f32) {
      store(to_values, i, values[i]);
    } else if (form == StateForm::f16) {
      store(to_values, i, float_to_f16(values[i]));
    } else {
      const std::uint16_t rounded = float_to_bf16(values[i]);
      store(to_values, i, rounded);
      if (form == StateForm::bf16_residual) store(to_extra, i, residual_of(values[i], rounded));
    }
  }
}

void decode_state(StateForm form, const StateLayout& layout, const std::byte* from_values,
                  const std::byte* from_extra, std::span<float> values) {
  if (grouped(form)) {
    for_groups(layout, [&](std::int64_t first, std::int64_t elements, std::int64_t group) {
      decode_group(form, from_values + first, from_extra + group * extra_bytes_of_group(form),
                   values.subspan(first, elements));
    });
    return;
  }
  for (std::int64_t i = 0; i < layout.rows * layout.columns; ++i) {
    if (form == StateForm::f32) {
      values[i] = load<float>(from_values, i);
    } else if (form == StateForm::f16) {
      values[i] = f16_to_float(load<std::uint16_t>(from_values, i));
    } else {
      const auto rounded = load<std::uint16_t>(from_values, i);
      values[i] = form == StateForm::bf16
                      ? bf16_to_float(rounded)
                      : residual_value(rounded, load<std::int8_t>(from_extra, i));
    }
  }
}

float dynamic_value(std::uint8_t code) {
  return code >= 127 ? dynamic_magnitude(code - 127) : -dynamic_magnitude(127 - code);
}

}  // namespace ingot

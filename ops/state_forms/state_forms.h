// How numbers that outlive a step are stored: weights that updates move, and their moments.
//
//   form           bytes an element      values          extra
//   f32, bf16, f16 4, 2, 2               floats
//   bf16_residual  3                     bf16            i8: what bf16 left of the value, in 127ths
//                                                        of half a unit in its last place; 24 bits
//   int8           1 + 4/128             i8 codes        f32 scale: code * scale, codes in +-127
//   dynamic8       1 + 4/128             u8 codes        f32 largest |value|: Dettmers' dynamic map
//   log8           1 + 2/128             u8 codes        2 i8 exponents: values >= 0, equal steps
//                                                        of the logarithm between two powers of
//                                                        two; code 0 is 0 and nothing else
//
// Where a number of a group is NaN or infinite all of the group decodes to NaN in the 8-bit forms,
// of int8 and dynamic8 by a scale that is NaN, of log8 by the bounds (127, -128). The others keep
// it.
//
// The 8-bit forms have extra numbers for each group of 128 elements along the last dimension (the
// last of a row may be shorter), so a row needs nothing of another. memory.md C1, C2, C5.
// log8's bounds are powers of two, so that they, and with them what the codes mean, stay the same
// for many steps: a number that moves slowly is not rounded anew each time.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "engine/program/program.h"

namespace ingot {

std::string_view name_of(StateForm form);

// What a form keeps beside its values.
struct StateExtra {
  std::string_view name;  // "residual", "scale", "bounds"
  DType dtype = DType::u8;
  std::int64_t per_group = 0;  // numbers; 0: one for each element
};
DType value_dtype(StateForm form);
// Null: nothing. (The copy of an f32 value that ops read is Weight::compute, not the form's.)
const StateExtra* extra_of(StateForm form);

constexpr std::int64_t kStateGroup = 128;  // elements

// Rows of `columns` elements, cut into groups.
struct StateLayout {
  std::int64_t rows = 0, columns = 0;

  std::int64_t groups_per_row() const { return (columns + kStateGroup - 1) / kStateGroup; }
  std::int64_t groups() const { return rows * groups_per_row(); }
  // Bytes of `values` and `extra` that one row takes.
  std::int64_t value_bytes(StateForm form) const;
  std::int64_t extra_bytes(StateForm form) const;
};

StateLayout layout_of(const Program& program, const WeightState& state);

// Makes the persistent tensors of a state: `name`, and beside it what the form needs.
WeightState add_state(Program& program, const std::string& name, const Shape& shape, StateForm form,
                      Role role);

// On the host, whole rows at a time, rounding to nearest. The plain truth that kernels are tested
// against, and the way in and out of checkpoints.
void encode_state(StateForm form, const StateLayout& layout, std::span<const float> values,
                  std::byte* to_values, std::byte* to_extra);
void decode_state(StateForm form, const StateLayout& layout, const std::byte* from_values,
                  const std::byte* from_extra, std::span<float> values);

// The dynamic map: the value of a code, from -0.993 (0) over 0 (127) to 1 (255).
float dynamic_value(std::uint8_t code);

}  // namespace ingot

#include "weights/weight_copy.h"

#include <stdexcept>
#include <vector>

namespace ingot {
namespace {

Range place_of(const Executor& executor, Tensor tensor, std::int64_t offset, std::int64_t bytes) {
  return executor.range(tensor).subrange(offset, bytes);
}

StateLayout layout_of(const WeightPart& part) { return {part.shape.rows(), part.shape.last()}; }

// Calls each(piece, its place among the part's values) for the pieces of a part.
template <class Values, class Each>
void for_pieces(const WeightState& state, const WeightPart& part, Values values, const Each& each) {
  for_rows(part, is_grouped(state.form), [&](const WeightPart& piece) {
    each(piece, values.subspan(piece.offset - part.offset, piece.shape.elements()));
  });
}

void write_state(Executor& executor, const WeightState& state, const WeightPart& part,
                 std::span<const float> values) {
  std::vector<std::byte> coded, extra;
  for_pieces(state, part, values, [&](const WeightPart& piece, std::span<const float> some) {
    const PartBytes bytes = part_bytes(executor.program(), state, piece);
    coded.resize(bytes.values_bytes);
    extra.resize(bytes.extra_bytes);
    encode_state(state.form, layout_of(piece), some, coded.data(), extra.data());
    write_raw_part(executor, state, piece, coded, extra);
  });
}

}  // namespace

PartBytes part_bytes(const Program& program, const WeightState& state, const WeightPart& part) {
  const std::int64_t size = size_of(program.dtype(state.values));
  const std::int64_t count = part.shape.elements();
  PartBytes bytes{.values_offset = part.offset * size, .values_bytes = count * size};
  if (is_plain(state.form)) return bytes;
  const StateLayout layout = layout_of(program, state);
  if (part.shape.last() != layout.columns || part.offset % layout.columns != 0) {
    throw std::logic_error("a part of " + program.info(state.values).name + " is not whole rows");
  }
  const std::int64_t row_bytes = layout.extra_bytes(state.form);
  bytes.extra_offset = part.offset / layout.columns * row_bytes;
  bytes.extra_bytes = count / layout.columns * row_bytes;
  return bytes;
}

void read_weight_part(const Executor& executor, const WeightState& state, const WeightPart& part,
                      std::span<float> values) {
  std::vector<std::byte> coded, extra;
  for_pieces(state, part, values, [&](const WeightPart& piece, std::span<float> some) {
    const PartBytes bytes = part_bytes(executor.program(), state, piece);
    coded.resize(bytes.values_bytes);
    extra.resize(bytes.extra_bytes);
    executor.backend().read(
        coded, place_of(executor, state.values, bytes.values_offset, bytes.values_bytes));
    if (!extra.empty()) {
      executor.backend().read(
          extra, place_of(executor, state.extra, bytes.extra_offset, bytes.extra_bytes));
    }
    decode_state(state.form, layout_of(piece), coded.data(), extra.data(), some);
  });
}

void write_weight_part(Executor& executor, const Weight& weight, WeightState Weight::*state,
                       const WeightPart& part, std::span<const float> values) {
  write_state(executor, weight.*state, part, values);
  const Tensor copy = weight.rounded_copy();
  if (state != &Weight::value || !copy) return;
  const StateForm form = plain_form(executor.program().dtype(copy));
  write_state(executor, {.form = form, .values = copy}, part, values);
}

void write_raw_part(Executor& executor, const WeightState& state, const WeightPart& part,
                    std::span<const std::byte> values, std::span<const std::byte> extra) {
  const PartBytes bytes = part_bytes(executor.program(), state, part);
  executor.backend().write(
      place_of(executor, state.values, bytes.values_offset, bytes.values_bytes), values);
  if (extra.empty()) return;
  executor.backend().write(place_of(executor, state.extra, bytes.extra_offset, bytes.extra_bytes),
                           extra);
}

}  // namespace ingot

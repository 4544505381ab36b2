#include "weights/weight_copy.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace ingot {
namespace {

constexpr std::int64_t kChunk = 1 << 16;  // elements converted at a time, at least one row

// Rows of a piece of `count` elements. Elements of plain forms need no rows: they are one.
StateLayout layout_of_piece(const Program& program, const WeightState& state, std::int64_t count) {
  if (is_plain(state.form)) return {1, count};
  const std::int64_t columns = program.info(state.values).shape.last();
  return {count / columns, columns};
}

// Calls each(first element, layout) for pieces of a part of `count` elements.
template <class Each>
void for_pieces(const Program& program, const WeightState& state, std::int64_t count,
                const Each& each) {
  const std::int64_t columns = is_plain(state.form) ? 1 : program.info(state.values).shape.last();
  const std::int64_t step = std::max<std::int64_t>(1, kChunk / columns) * columns;
  for (std::int64_t first = 0; first < count; first += step) {
    each(first, layout_of_piece(program, state, std::min(step, count - first)));
  }
}

Range place_of(const Executor& executor, Tensor tensor, std::int64_t offset, std::int64_t bytes) {
  return executor.range(tensor).subrange(offset, bytes);
}

void write_state(Executor& executor, const WeightState& state, std::int64_t offset,
                 std::span<const float> values) {
  const Program& program = executor.program();
  std::vector<std::byte> coded, extra;
  const auto count = static_cast<std::int64_t>(values.size());
  for_pieces(program, state, count, [&](std::int64_t first, const StateLayout& layout) {
    const std::int64_t elements = layout.rows * layout.columns;
    const PartBytes bytes = part_bytes(program, state, offset + first, elements);
    coded.resize(bytes.values_bytes);
    extra.resize(bytes.extra_bytes);
    encode_state(state.form, layout, values.subspan(first, elements), coded.data(), extra.data());
    executor.backend().write(
        place_of(executor, state.values, bytes.values_offset, bytes.values_bytes), coded);
    if (extra.empty()) return;
    executor.backend().write(place_of(executor, state.extra, bytes.extra_offset, bytes.extra_bytes),
                             extra);
  });
}

}  // namespace

PartBytes part_bytes(const Program& program, const WeightState& state, std::int64_t first,
                     std::int64_t count) {
  const std::int64_t size = size_of(program.dtype(state.values));
  PartBytes bytes{.values_offset = first * size, .values_bytes = count * size};
  if (is_plain(state.form)) return bytes;
  const StateLayout layout = layout_of(program, state);
  if (first % layout.columns != 0 || count % layout.columns != 0) {
    throw std::logic_error("a part of " + program.info(state.values).name + " is not whole rows");
  }
  const std::int64_t row_bytes = layout.extra_bytes(state.form);
  bytes.extra_offset = first / layout.columns * row_bytes;
  bytes.extra_bytes = count / layout.columns * row_bytes;
  return bytes;
}

void read_weight_part(const Executor& executor, const WeightState& state, const WeightPart& part,
                      std::span<float> values) {
  const Program& program = executor.program();
  std::vector<std::byte> coded, extra;
  const auto count = static_cast<std::int64_t>(values.size());
  for_pieces(program, state, count, [&](std::int64_t first, const StateLayout& layout) {
    const std::int64_t elements = layout.rows * layout.columns;
    const PartBytes bytes = part_bytes(program, state, part.offset + first, elements);
    coded.resize(bytes.values_bytes);
    extra.resize(bytes.extra_bytes);
    executor.backend().read(
        coded, place_of(executor, state.values, bytes.values_offset, bytes.values_bytes));
    if (!extra.empty()) {
      executor.backend().read(
          extra, place_of(executor, state.extra, bytes.extra_offset, bytes.extra_bytes));
    }
    decode_state(state.form, layout, coded.data(), extra.data(), values.subspan(first, elements));
  });
}

void write_weight_part(Executor& executor, const Weight& weight, WeightState Weight::*state,
                       const WeightPart& part, std::span<const float> values) {
  write_state(executor, weight.*state, part.offset, values);
  const Tensor copy = weight.rounded_copy();
  if (state != &Weight::value || !copy) return;
  const StateForm form = plain_form(executor.program().dtype(copy));
  write_state(executor, {.form = form, .values = copy}, part.offset, values);
}

}  // namespace ingot

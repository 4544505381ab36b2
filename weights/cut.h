// Rectangles of checkpoint tensors: what two of them have in common, and a walk over one in pieces.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/program/weight.h"

namespace ingot {

// A point of a tensor, by axis.
using Point = std::array<std::int64_t, 4>;

// A rectangle of a tensor: `shape` elements from `first` on, row-major in itself.
struct Box {
  Point first{};
  Shape shape;

  bool operator==(const Box&) const = default;
};
inline Box box_of(const WeightPart& part) { return {part.first, part.shape}; }

// What two boxes of one tensor have in common; of no elements where that is nothing.
Box intersection(const Box& a, const Box& b);

// How many elements of a box come before a point in it.
std::int64_t element_at(const Box& box, const Point& point);

// Calls each(where it begins) for every row of a box, shape.last() elements each.
template <class Each>
void for_lines(const Box& box, const Each& each) {
  const int axes = box.shape.rank() - 1;  // of which a line holds one point
  Point point = box.first;
  for (std::int64_t line = 0; line < box.shape.rows(); ++line) {
    each(point);
    for (int axis = axes - 1; axis >= 0; --axis) {
      if (++point[axis] < box.first[axis] + box.shape[axis]) break;
      point[axis] = box.first[axis];
    }
  }
}

// Copies what two boxes of a tensor have in common; `size` bytes are an element.
void copy_common(const Box& from, std::span<const std::byte> values, const Box& to,
                 std::span<std::byte> to_values, std::int64_t size);

constexpr std::int64_t kPieceElements = 1 << 16;

// Calls each(piece) for the pieces of a part, in order: some indices of its first axis each, about
// kPieceElements in all. A vector whose form codes groups together is one piece.
template <class Each>
void for_rows(const WeightPart& part, bool grouped, const Each& each) {
  const std::int64_t rows = part.shape[0];
  const std::int64_t width = rows == 0 ? 0 : part.shape.elements() / rows;
  std::int64_t step = std::max<std::int64_t>(1, kPieceElements / std::max<std::int64_t>(1, width));
  if (grouped && part.shape.rank() == 1) step = std::max<std::int64_t>(1, rows);
  for (std::int64_t row = 0; row < rows; row += step) {
    WeightPart piece = part;
    piece.shape = part.shape.with(0, std::min(step, rows - row));
    piece.offset += row * width;
    piece.first[0] += row;
    each(piece);
  }
}

// Fills what a part has in common with a block of its tensor, from read(first row, last row, values
// in fp32), which gives whole rows (indices of the first axis) of the block.
template <class Read>
void read_common(const Box& block, const WeightPart& part, std::span<float> values,
                 const Read& read) {
  const Box common = intersection(block, box_of(part));
  if (common.shape.elements() == 0) return;
  const std::int64_t skipped = common.first[0] - block.first[0];
  const WeightPart rows{.name = {},
                        .shape = block.shape.with(0, common.shape[0]),
                        .first = {common.first[0], block.first[1], block.first[2], block.first[3]}};
  if (box_of(rows) == box_of(part)) return read(skipped, skipped + common.shape[0], values);
  std::vector<float> all;
  for_rows(rows, false, [&](const WeightPart& piece) {
    all.resize(piece.shape.elements());
    const std::int64_t first = piece.first[0] - block.first[0];
    read(first, first + piece.shape[0], std::span(all));
    copy_common(box_of(piece), std::as_bytes(std::span(all)), box_of(part),
                std::as_writable_bytes(values), sizeof(float));
  });
}

}  // namespace ingot

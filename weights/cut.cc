#include "weights/cut.h"

#include <cstring>

namespace ingot {

Box intersection(const Box& a, const Box& b) {
  Box common = a;
  for (int axis = 0; axis < a.shape.rank(); ++axis) {
    const std::int64_t first = std::max(a.first[axis], b.first[axis]);
    const std::int64_t end = std::min(a.first[axis] + a.shape[axis], b.first[axis] + b.shape[axis]);
    common.first[axis] = first;
    common.shape = common.shape.with(axis, std::max<std::int64_t>(0, end - first));
  }
  return common;
}

std::int64_t element_at(const Box& box, const Point& point) {
  std::int64_t element = 0;
  for (int axis = 0; axis < box.shape.rank(); ++axis) {
    element = element * box.shape[axis] + point[axis] - box.first[axis];
  }
  return element;
}

void copy_common(const Box& from, std::span<const std::byte> values, const Box& to,
                 std::span<std::byte> to_values, std::int64_t size) {
  const Box common = intersection(from, to);
  for_lines(common, [&](const Point& point) {
    std::memcpy(to_values.data() + element_at(to, point) * size,
                values.data() + element_at(from, point) * size, common.shape.last() * size);
  });
}

}  // namespace ingot

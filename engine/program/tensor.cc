#include "engine/program/tensor.h"

#include <stdexcept>

namespace ingot {

Shape::Shape(std::initializer_list<std::int64_t> dims) {
  if (dims.size() > dims_.size()) throw std::logic_error("a tensor has at most four dimensions");
  for (const std::int64_t dim : dims) dims_[rank_++] = dim;
}

std::int64_t Shape::elements() const {
  std::int64_t product = 1;
  for (int axis = 0; axis < rank_; ++axis) product = checked_product(product, dims_[axis], *this);
  return product;
}

std::int64_t checked_product(std::int64_t a, std::int64_t b, const Shape& shape) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) {
    throw std::logic_error("a tensor of shape " + shape.to_string() + " is too large to count");
  }
  return product;
}

Shape Shape::with(int axis, std::int64_t dim) const {
  Shape shape = *this;
  shape.dims_[axis] = dim;
  return shape;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (int axis = 0; axis < rank_; ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string(dims_[axis]);
  }
  return text + "]";
}

}  // namespace ingot

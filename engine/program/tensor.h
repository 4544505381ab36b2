// What ops name: a tensor of a program by its number, and its shape.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace ingot {

// Up to four dimensions, row-major.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims);

  int rank() const { return rank_; }
  std::int64_t operator[](int axis) const { return dims_[axis]; }
  std::int64_t last() const { return rank_ == 0 ? 1 : dims_[rank_ - 1]; }
  std::int64_t elements() const;  // throws std::logic_error past 63 bits
  std::int64_t rows() const { return last() == 0 ? 0 : elements() / last(); }
  // The same with another length of one axis.
  Shape with(int axis, std::int64_t dim) const;
  bool operator==(const Shape&) const = default;
  std::string to_string() const;  // "[4, 512]"

 private:
  std::array<std::int64_t, 4> dims_{};
  int rank_ = 0;
};

// a * b, of a tensor with that shape. Throws std::logic_error past 63 bits.
std::int64_t checked_product(std::int64_t a, std::int64_t b, const Shape& shape);

// A handle: one tensor of a program, or some of the columns (last axis) of one. Copy it freely.
struct Tensor {
  int id = -1;
  std::int64_t column = 0;   // first column of the view
  std::int64_t columns = 0;  // number of columns

  explicit operator bool() const { return id >= 0; }
  bool operator==(const Tensor&) const = default;
  // The view of `count` columns that starts `first` columns into this one.
  Tensor slice(std::int64_t first, std::int64_t count) const { return {id, column + first, count}; }
};

}  // namespace ingot

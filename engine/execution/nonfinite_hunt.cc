#include "engine/execution/nonfinite_hunt.h"

#include <cmath>
#include <cstring>

namespace ingot {
namespace {

float element(const std::byte* bytes, DType dtype, std::int64_t i) {
  if (dtype == DType::f32) {
    float value;
    std::memcpy(&value, bytes + i * 4, sizeof value);
    return value;
  }
  std::uint16_t half;
  std::memcpy(&half, bytes + i * 2, sizeof half);
  return dtype == DType::bf16 ? bf16_to_float(half) : f16_to_float(half);
}

}  // namespace

void NonfiniteHunt::after(const Op& op) {
  if (!found_.empty()) return;
  const Program& program = executor_.program();
  for (const Tensor t : op.outputs) {
    if (!t || !is_float(program.dtype(t))) continue;
    const TensorInfo& info = program.info(t);
    buffer_.resize(info.bytes());
    executor_.read(program.whole(t.id), buffer_);
    const std::int64_t stride = program.row_stride(t);
    for (std::int64_t row = 0; row < program.rows(t); ++row) {
      for (std::int64_t column = t.column; column < t.column + t.columns; ++column) {
        const std::int64_t i = row * stride + column;
        const float value = element(buffer_.data(), info.dtype, i);
        if (std::isfinite(value)) continue;
        found_ = describe(program, op) + ", tensor '" + info.name + "', element " +
                 std::to_string(i) + ": " + (std::isnan(value) ? "nan" : "infinite");
        return;
      }
    }
  }
}

}  // namespace ingot

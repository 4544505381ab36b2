#include "ops/add/add_cpu.h"

#include <algorithm>

namespace ingot::cpu {
namespace {

constexpr std::int64_t kTileElements = 16384;

float get(const std::byte* p, DType dtype, std::int64_t i) {
  switch (dtype) {
    case DType::bf16:
      return bf16_to_float(reinterpret_cast<const std::uint16_t*>(p)[i]);
    case DType::f16:
      return f16_to_float(reinterpret_cast<const std::uint16_t*>(p)[i]);
    default:
      return reinterpret_cast<const float*>(p)[i];
  }
}

void put(std::byte* p, DType dtype, std::int64_t i, float value) {
  switch (dtype) {
    case DType::bf16:
      reinterpret_cast<std::uint16_t*>(p)[i] = float_to_bf16(value);
      break;
    case DType::f16:
      reinterpret_cast<std::uint16_t*>(p)[i] = float_to_f16(value);
      break;
    default:
      reinterpret_cast<float*>(p)[i] = value;
  }
}

std::unique_ptr<Kernel> make_add_into(const Program& program, const Op& op,
                                      const Context& context) {
  const Tensor x = op.inputs[0], y = op.outputs[0];
  const bool accumulate = op.attributes.flag("accumulate");
  const std::int64_t rows = program.rows(x), columns = x.columns;
  const std::int64_t x_stride = program.row_stride(x), y_stride = program.row_stride(y);
  const DType from = program.dtype(x), to = program.dtype(y);
  const std::int64_t tile_rows = std::max<std::int64_t>(1, kTileElements / columns);
  const std::int64_t tiles = (rows + tile_rows - 1) / tile_rows;
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn&) {
    const std::byte* source = arguments.inputs[0];
    std::byte* target = arguments.outputs[0];
    pool.parallel_for(tiles, [&](std::int64_t tile, int) {
      const std::int64_t last = std::min(rows, (tile + 1) * tile_rows);
      for (std::int64_t row = tile * tile_rows; row < last; ++row) {
        for (std::int64_t column = 0; column < columns; ++column) {
          const float value = get(source, from, row * x_stride + column);
          const std::int64_t place = row * y_stride + column;
          put(target, to, place, accumulate ? get(target, to, place) + value : value);
        }
      }
    });
  });
}

}  // namespace

std::span<const KernelEntry> add_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"add_into", make_add_into}};
  return kEntries;
}

}  // namespace ingot::cpu

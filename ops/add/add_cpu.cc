#include "ops/add/add_cpu.h"

#include <algorithm>

#include "backends/cpu/elementwise_simd.h"

namespace ingot::cpu {
namespace {

constexpr std::int64_t kTileElements = 16384;

std::unique_ptr<Kernel> make_add_into(const Program& program, const Op& op,
                                      const Context& context) {
  const Tensor x = op.inputs[0], y = op.outputs[0];
  const DType from = program.dtype(x), to = program.dtype(y);
  const std::int64_t rows = program.rows(x), columns = x.columns;
  const std::int64_t x_stride = program.row_stride(x) * size_of(from);
  const std::int64_t y_stride = program.row_stride(y) * size_of(to);
  const std::int64_t tile_rows = std::max<std::int64_t>(1, kTileElements / columns);
  const ElementwiseKernels& kernels = elementwise_kernels(context.isa);
  const auto add = kernels.add[float_index(to)][float_index(from)];
  const auto convert = kernels.convert[float_index(to)][float_index(from)];
  const bool accumulate = op.attributes.flag("accumulate");
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn&) {
    pool.parallel_for((rows + tile_rows - 1) / tile_rows, [&](std::int64_t tile, int) {
      const std::int64_t last = std::min(rows, (tile + 1) * tile_rows);
      for (std::int64_t row = tile * tile_rows; row < last; ++row) {
        const std::byte* source = arguments.inputs[0] + row * x_stride;
        std::byte* target = arguments.outputs[0] + row * y_stride;
        accumulate ? add(target, source, 1.0f, columns) : convert(target, source, columns);
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

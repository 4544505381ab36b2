#include "ops/quantize/quantize_cpu.h"

#include <algorithm>

#include "ops/quantize/row_codes_cpu.h"

namespace ingot::cpu {
namespace {

// Elements of one tile: its values, codes and scales stay in L2.
constexpr std::int64_t kTileElements = 1 << 16;

// Calls body(row) for all rows.
template <class Body>
void for_each_row(ThreadPool& pool, std::int64_t rows, std::int64_t columns, const Body& body) {
  const std::int64_t tile_rows = std::max<std::int64_t>(1, kTileElements / columns);
  pool.parallel_for((rows + tile_rows - 1) / tile_rows, [&](std::int64_t tile, int) {
    const std::int64_t last = std::min(rows, (tile + 1) * tile_rows);
    for (std::int64_t row = tile * tile_rows; row < last; ++row) body(row);
  });
}

std::unique_ptr<Kernel> make_quantize(const Program& program, const Op& op,
                                      const Context& context) {
  const Tensor values = op.inputs[0];
  const std::int64_t rows = program.rows(values), columns = values.columns;
  const std::int64_t stride = program.row_stride(values) * size_of(program.dtype(values));
  const RowQuantizer quantize(program, op, codes_of(op), program.dtype(values), context.isa);
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn&) {
    const std::byte* from = arguments.inputs[0];
    const std::uint64_t key = quantize.key(arguments);
    for_each_row(pool, rows, columns,
                 [&](std::int64_t row) { quantize(arguments, key, row, from + row * stride); });
  });
}

std::unique_ptr<Kernel> make_dequantize(const Program& program, const Op& op,
                                        const Context& context) {
  const Tensor values = op.outputs[0];
  const std::int64_t rows = program.rows(values), columns = values.columns;
  const std::int64_t stride = program.row_stride(values) * size_of(program.dtype(values));
  const RowReader read(program, op, 0, program.dtype(values), context.isa);
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn&) {
    std::byte* to = arguments.outputs[0];
    for_each_row(pool, rows, columns,
                 [&](std::int64_t row) { read(arguments, row, to + row * stride); });
  });
}

}  // namespace

std::span<const KernelEntry> quantize_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"quantize", make_quantize},
                                             {"dequantize", make_dequantize}};
  return kEntries;
}

}  // namespace ingot::cpu

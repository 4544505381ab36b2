#include "ops/linear/bias_gradient_cpu.h"

#include <algorithm>

#include "backends/cpu/elementwise_simd.h"
#include "engine/program/gradient_start.h"

namespace ingot::cpu {
namespace {

// Columns of one tile: a cache line or more of every dtype. Each column is summed by one thread,
// row after row, so the bits do not depend on the number of threads.
constexpr std::int64_t kTileColumns = 128;

}  // namespace

std::unique_ptr<Kernel> make_bias_gradient(const Program& program, const Op& op,
                                           const Context& context) {
  const Tensor dy = op.inputs[0];
  const DType dtype = program.dtype(dy);
  const std::int64_t rows = program.rows(dy), columns = dy.columns;
  const std::int64_t bytes = size_of(dtype), stride = program.row_stride(dy) * bytes;
  const GradientStart starts_now(op);
  const auto add = elementwise_kernels(context.isa).add[0][float_index(dtype)];
  ThreadPool& pool = context.pool;
  const std::int64_t tiles = (columns + kTileColumns - 1) / kTileColumns;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn& turn) {
    const bool overwrite = starts_now(turn);
    const std::byte* from = arguments.inputs[0];
    auto* db = arguments.output<float>(0);
    pool.parallel_for(tiles, [&](std::int64_t tile, int) {
      const std::int64_t first = tile * kTileColumns;
      const std::int64_t count = std::min(kTileColumns, columns - first);
      if (overwrite) std::fill_n(db + first, count, 0.0f);
      for (std::int64_t row = 0; row < rows; ++row) {
        add(db + first, from + row * stride + first * bytes, 1.0f, count);
      }
    });
  });
}

}  // namespace ingot::cpu

#include "ops/embedding/embedding_cpu.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/prefetch.h"
#include "backends/cpu/quantizer_simd.h"
#include "engine/numbers/quantizer.h"
#include "engine/program/gradient_start.h"
#include "ops/embedding/embedding_simd.h"

namespace ingot::cpu {
namespace {

constexpr std::int64_t kTileRows = 64, kRowsAhead = 4;

std::unique_ptr<Kernel> make_embedding(const Program& program, const Op& op,
                                       const Context& context) {
  const Tensor table = op.inputs[1], y = op.outputs[0];
  const DType from = program.dtype(table), to = program.dtype(y);
  const bool coded = from == DType::i8;
  const auto convert =
      coded ? nullptr
            : embedding_kernels(context.isa).convert[static_cast<int>(from)][static_cast<int>(to)];
  const auto dequantize = quantizer_kernels(context.isa).dequantize[float_index(to)];
  const std::int64_t tokens = program.rows(y), d = y.columns, vocabulary = program.rows(table);
  const std::int64_t from_bytes = d * size_of(from), to_bytes = d * size_of(to);
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn&) {
    const std::int32_t* ids = arguments.input<std::int32_t>(0);
    const std::byte* rows = arguments.inputs[1];
    const float* scales = coded ? arguments.input<float>(2) : nullptr;
    std::byte* out = arguments.outputs[0];
    pool.parallel_for((tokens + kTileRows - 1) / kTileRows, [&](std::int64_t tile, int) {
      const std::int64_t last = std::min(tokens, (tile + 1) * kTileRows);
      for (std::int64_t token = tile * kTileRows; token < last; ++token) {
        const std::int64_t id = ids[token];
        if (token + kRowsAhead < last) {
          prefetch(rows + ids[token + kRowsAhead] * from_bytes, from_bytes);
        }
        if (id < 0 || id >= vocabulary) {
          std::memset(out + token * to_bytes, 0, to_bytes);
        } else if (coded) {
          dequantize(arguments.input<std::int8_t>(1) + id * d,
                     scales + id * quantizer_groups(d, kQuantizerGroup), d, kQuantizerGroup,
                     out + token * to_bytes);
        } else if (from == to) {
          std::memcpy(out + token * to_bytes, rows + id * from_bytes, to_bytes);
        } else {
          convert(rows + id * from_bytes, out + token * to_bytes, d);
        }
      }
    });
  });
}

// A tile owns some columns of the rows whose id falls into its bucket, and walks over all tokens:
// no two tiles add to one element, and each element gets its tokens in order.
constexpr std::int64_t kTileColumns = 128;
constexpr std::int64_t kBuckets = 8;

void clear_rows(ThreadPool& pool, float* d_table, const ScatterAdd& all) {
  constexpr std::int64_t kRows = 128;
  pool.parallel_for((all.vocabulary + kRows - 1) / kRows, [&](std::int64_t tile, int) {
    const std::int64_t rows = std::min(kRows, all.vocabulary - tile * kRows);
    std::fill_n(d_table + tile * kRows * all.table_stride, rows * all.table_stride, 0.0f);
  });
}

std::unique_ptr<Kernel> make_embedding_backward(const Program& program, const Op& op,
                                                const Context& context) {
  const Tensor dy = op.inputs[1], d_table = op.outputs[0];
  const DType dtype = program.dtype(dy);
  const auto add = embedding_kernels(context.isa).scatter_add[static_cast<int>(dtype)];
  const std::int64_t columns = dy.columns;
  const GradientStart starts_now(op);
  const ScatterAdd all{.tokens = program.rows(dy),
                       .vocabulary = program.rows(d_table),
                       .buckets = kBuckets,
                       .dy_stride = program.row_stride(dy),
                       .table_stride = program.row_stride(d_table)};
  const std::int64_t column_tiles = (columns + kTileColumns - 1) / kTileColumns;
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn& turn) {
    if (starts_now(turn)) clear_rows(pool, arguments.output<float>(0), all);
    pool.parallel_for(column_tiles * kBuckets, [&](std::int64_t tile, int) {
      const std::int64_t first = tile / kBuckets * kTileColumns;
      ScatterAdd task = all;
      task.ids = arguments.input<std::int32_t>(0);
      task.bucket = static_cast<std::int32_t>(tile % kBuckets);
      task.dy = arguments.inputs[1] + first * size_of(dtype);
      task.d_table = arguments.output<float>(0) + first;
      task.columns = std::min(kTileColumns, columns - first);
      add(task);
    });
  });
}

}  // namespace

std::span<const KernelEntry> embedding_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"embedding", make_embedding},
                                             {"embedding_backward", make_embedding_backward}};
  return kEntries;
}

}  // namespace ingot::cpu

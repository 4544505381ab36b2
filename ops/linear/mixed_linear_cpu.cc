#include "ops/linear/mixed_linear_cpu.h"

#include <algorithm>
#include <stdexcept>

#include "backends/cpu/elementwise_simd.h"
#include "backends/cpu/matmul.h"
#include "engine/execution/gradient_squares.h"
#include "engine/program/gradient_start.h"

namespace ingot::cpu {
namespace {

constexpr std::int64_t kChunkRows = 256;

// Rows of a tensor view on their way to or from fp32.
struct RowConverter {
  std::int64_t columns, stride_bytes;
  void (*to_float)(void* y, const void* x, std::int64_t count);
  void (*from_float)(void* y, const void* x, std::int64_t count);
  void (*add_float)(void* y, const void* x, float factor, std::int64_t count);

  RowConverter(const Program& program, Tensor t, Isa isa)
      : columns(t.columns), stride_bytes(program.row_stride(t) * size_of(program.dtype(t))) {
    const int type = float_index(program.dtype(t));
    const ElementwiseKernels& kernels = elementwise_kernels(isa);
    to_float = kernels.convert[0][type];
    from_float = kernels.convert[type][0];
    add_float = kernels.add[type][0];
  }

  void load(ThreadPool& pool, float* to, const std::byte* from, std::int64_t rows) const {
    pool.parallel_for(rows, [&](std::int64_t row, int) {
      to_float(to + row * columns, from + row * stride_bytes, columns);
    });
  }

  void store(ThreadPool& pool, std::byte* to, const float* from, std::int64_t rows,
             bool accumulate) const {
    pool.parallel_for(rows, [&](std::int64_t row, int) {
      if (accumulate) {
        add_float(to + row * stride_bytes, from + row * columns, 1.0f, columns);
      } else {
        from_float(to + row * stride_bytes, from + row * columns, columns);
      }
    });
  }
};

// Workspace: an fp32 chunk, then the product's own.
std::int64_t chunk_bytes(std::int64_t columns) {
  return (kChunkRows * columns * size_of(DType::f32) + 63) / 64 * 64;
}

std::int64_t dense_fp32(const Program& program, Tensor t) {
  if (program.dtype(t) != DType::f32) {
    throw std::logic_error("mixed linear: " + program.info(t).name + " must be f32");
  }
  return program.row_stride(t);
}

// Calls body(first row, rows) for each chunk.
template <class Body>
void for_each_chunk(std::int64_t rows, Body body) {
  for (std::int64_t row = 0; row < rows; row += kChunkRows) {
    body(row, std::min(kChunkRows, rows - row));
  }
}

}  // namespace

std::unique_ptr<Kernel> make_mixed_linear(const Program& program, const Op& op,
                                          const Context& context) {
  const Tensor x = op.inputs[0], weight = op.inputs[1], y = op.outputs[0];
  if (op.inputs[2] || op.inputs[3]) {
    throw std::logic_error("mixed linear takes no bias and no residual");
  }
  dense_fp32(program, weight);
  const std::int64_t y_stride = dense_fp32(program, y), rows = program.rows(x);
  const RowConverter converter(program, x, context.isa);
  const Matmul matmul({.rows = kChunkRows,
                       .columns = y.columns,
                       .depth = x.columns,
                       .b_transposed = true,
                       .c_stride = y_stride,
                       .threads = context.pool.threads()},
                      context.isa);
  const std::int64_t chunk = chunk_bytes(x.columns);
  ThreadPool& pool = context.pool;
  return make_kernel(
      chunk + matmul.workspace_bytes(), [=, &pool](const KernelArguments& arguments, const Turn&) {
        auto* values = reinterpret_cast<float*>(arguments.workspace.data());
        for_each_chunk(rows, [&](std::int64_t row, std::int64_t count) {
          converter.load(pool, values, arguments.inputs[0] + row * converter.stride_bytes, count);
          matmul.run(pool, {.a = values,
                            .b = arguments.inputs[1],
                            .c = arguments.output<float>(0) + row * y_stride,
                            .workspace = arguments.workspace.subspan(chunk),
                            .a_rows = count});
        });
      });
}

std::unique_ptr<Kernel> make_mixed_dgrad(const Program& program, const Op& op,
                                         const Context& context) {
  const Tensor dy = op.inputs[0], weight = op.inputs[1], dx = op.outputs[0];
  dense_fp32(program, weight);
  const std::int64_t dy_stride = dense_fp32(program, dy), rows = program.rows(dy);
  const bool accumulate = op.attributes.flag("accumulate");
  const RowConverter converter(program, dx, context.isa);
  const Matmul matmul({.rows = kChunkRows,
                       .columns = dx.columns,
                       .depth = dy.columns,
                       .a_stride = dy_stride,
                       .threads = context.pool.threads()},
                      context.isa);
  const std::int64_t chunk = chunk_bytes(dx.columns);
  ThreadPool& pool = context.pool;
  return make_kernel(chunk + matmul.workspace_bytes(),
                     [=, &pool](const KernelArguments& arguments, const Turn&) {
                       auto* values = reinterpret_cast<float*>(arguments.workspace.data());
                       for_each_chunk(rows, [&](std::int64_t row, std::int64_t count) {
                         matmul.run(pool, {.a = arguments.input<float>(0) + row * dy_stride,
                                           .b = arguments.inputs[1],
                                           .c = values,
                                           .workspace = arguments.workspace.subspan(chunk),
                                           .a_rows = count});
                         converter.store(pool, arguments.outputs[0] + row * converter.stride_bytes,
                                         values, count, accumulate);
                       });
                     });
}

std::unique_ptr<Kernel> make_mixed_wgrad(const Program& program, const Op& op,
                                         const Context& context) {
  const Tensor dy = op.inputs[0], x = op.inputs[1];
  const std::int64_t dy_stride = dense_fp32(program, dy), rows = program.rows(dy);
  const RowConverter converter(program, x, context.isa);
  const Matmul adding({.rows = dy.columns,
                       .columns = x.columns,
                       .depth = kChunkRows,
                       .a_transposed = true,
                       .a_stride = dy_stride,
                       .accumulate = true,
                       .threads = context.pool.threads()},
                      context.isa);
  const Matmul starting = op.attributes.flag("first") ? adding.overwriting() : adding;
  const std::int64_t chunk = chunk_bytes(x.columns);
  const GradientStart starts_now(op);
  const SquareSums squares(op, 1);
  ThreadPool& pool = context.pool;
  return make_kernel(chunk + adding.workspace_bytes(), [=, &pool](const KernelArguments& arguments,
                                                                  const Turn& turn) {
    auto* values = reinterpret_cast<float*>(arguments.workspace.data());
    for_each_chunk(rows, [&](std::int64_t row, std::int64_t count) {
      const Matmul& matmul = starts_now(turn) && row == 0 ? starting : adding;
      converter.load(pool, values, arguments.inputs[1] + row * converter.stride_bytes, count);
      const bool last = row + count == rows;
      matmul.run(pool, {.a = arguments.input<float>(0) + row * dy_stride,
                        .b = values,
                        .c = arguments.outputs[0],
                        .workspace = arguments.workspace.subspan(chunk),
                        .a_rows = count,
                        .squares = last ? squares(arguments, turn) : nullptr});
    });
  });
}

}  // namespace ingot::cpu

#include "ops/swiglu/swiglu_cpu.h"

#include <algorithm>

#include "ops/swiglu/swiglu_simd.h"

namespace ingot::cpu {
namespace {

// Large: at its first rows a tile waits for memory, later ones were fetched ahead.
constexpr std::int64_t kTileElements = 65536;

// Runs `kernel` on tiles of rows; `all` has sizes and strides, pointers to the first row.
void run_tiles(ThreadPool& pool, SwigluKernels::Run kernel, const SwigluRows& all,
               std::int64_t element_bytes, const std::int32_t* row_count) {
  const std::int64_t tile_rows = std::max<std::int64_t>(1, kTileElements / all.width);
  const std::int64_t rows =
      row_count == nullptr ? all.rows : std::min<std::int64_t>(all.rows, *row_count);
  const std::int64_t tiles = (rows + tile_rows - 1) / tile_rows;
  pool.parallel_for(tiles, [&](std::int64_t tile, int) {
    const std::int64_t first = tile * tile_rows;
    const auto at = [&](auto* pointer, std::int64_t stride) {
      return pointer + first * stride * element_bytes;
    };
    SwigluRows task = all;
    task.rows = std::min(tile_rows, rows - first);
    task.gate_up = at(static_cast<const std::byte*>(all.gate_up), all.gate_up_stride);
    task.h = at(static_cast<std::byte*>(all.h), all.h_stride);
    if (all.d_gate_up != nullptr) {
      task.d_gate_up = at(static_cast<std::byte*>(all.d_gate_up), all.d_gate_up_stride);
    }
    if (all.weight != nullptr) task.weight += first;
    if (all.d_weight != nullptr) task.d_weight += first;
    kernel(task);
  });
}

std::unique_ptr<Kernel> make_forward(const Program& program, const Op& op, const Context& context) {
  const Tensor gate_up = op.inputs[0], h = op.outputs[0];
  const DType dtype = program.dtype(gate_up);
  const auto kernel = swiglu_kernels(context.isa).forward[static_cast<int>(dtype)];
  const SwigluRows all{.rows = program.rows(h),
                       .width = h.columns,
                       .gate_up_stride = program.row_stride(gate_up),
                       .h_stride = program.row_stride(h)};
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const StepState&) {
    SwigluRows task = all;
    task.gate_up = arguments.inputs[0];
    task.weight = arguments.input<float>(1);
    task.h = arguments.outputs[0];
    run_tiles(pool, kernel, task, size_of(dtype), arguments.input<std::int32_t>(2));
  });
}

std::unique_ptr<Kernel> make_backward(const Program& program, const Op& op,
                                      const Context& context) {
  const Tensor dh = op.inputs[0], gate_up = op.inputs[1], d_gate_up = op.outputs[0];
  const DType dtype = program.dtype(gate_up);
  const auto kernel = swiglu_kernels(context.isa).backward[static_cast<int>(dtype)];
  const SwigluRows all{.rows = program.rows(dh),
                       .width = dh.columns,
                       .gate_up_stride = program.row_stride(gate_up),
                       .h_stride = program.row_stride(dh),
                       .d_gate_up_stride = program.row_stride(d_gate_up),
                       .accumulate = op.attributes.flag("accumulate"),
                       .accumulate_weight = op.attributes.flag("accumulate_weight")};
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const StepState&) {
    SwigluRows task = all;
    task.h = arguments.inputs[0];
    task.gate_up = arguments.inputs[1];
    task.weight = arguments.input<float>(2);
    task.d_gate_up = arguments.outputs[0];
    task.d_weight = arguments.output<float>(1);
    run_tiles(pool, kernel, task, size_of(dtype), arguments.input<std::int32_t>(3));
  });
}

}  // namespace

std::span<const KernelEntry> swiglu_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"swiglu", make_forward},
                                             {"swiglu_backward", make_backward}};
  return kEntries;
}

}  // namespace ingot::cpu

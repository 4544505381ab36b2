#include "ops/rms_norm/rms_norm_cpu.h"

#include <algorithm>

#include "backends/cpu/prefetch.h"
#include "engine/program/gradient_start.h"
#include "ops/quantize/row_codes_cpu.h"
#include "ops/rms_norm/rms_norm_simd.h"

namespace ingot::cpu {
namespace {

// Rows of one tile: fixed, so that the gain's gradient is summed in one order for any threads.
constexpr std::int64_t kTileRows = 64, kRowsAhead = 4;

std::int64_t tiles_of(std::int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }

std::unique_ptr<Kernel> make_forward(const Program& program, const Op& op, const Context& context) {
  const Tensor x = op.inputs[0];
  const DType dtype = program.dtype(x);
  const std::int64_t rows = program.rows(x), groups = op.attributes.integer("groups");
  const std::int64_t width = x.columns / groups, bytes = size_of(dtype);
  const std::int64_t x_stride = program.row_stride(x) * bytes;
  const RowWriter write(program, op, context.isa);
  const std::int64_t scratch_bytes = (write.scratch_bytes() + 63) / 64 * 64;
  const auto epsilon = static_cast<float>(op.attributes.real("epsilon"));
  const auto forward = rms_norm_kernels(context.isa).forward[float_index(dtype)];
  ThreadPool& pool = context.pool;
  return make_kernel(
      pool.threads() * scratch_bytes, [=, &pool](const KernelArguments& arguments, const Turn&) {
        const std::byte* from = arguments.inputs[0];
        const auto* gain = arguments.input<float>(1);
        auto* inverse_rms = arguments.output<float>(1);
        const std::uint64_t key = write.key(arguments);
        pool.parallel_for(tiles_of(rows), [&](std::int64_t tile, int thread) {
          std::byte* scratch = arguments.workspace.data() + thread * scratch_bytes;
          const std::int64_t last = std::min(rows, (tile + 1) * kTileRows);
          for (std::int64_t row = tile * kTileRows; row < last; ++row) {
            prefetch(from + (row + kRowsAhead) * x_stride, x.columns * bytes);
            std::byte* y = write.begin(arguments, row, scratch);
            for (std::int64_t group = 0; group < groups; ++group) {
              const std::int64_t column = group * width * bytes;
              inverse_rms[row * groups + group] =
                  forward(y + column, from + row * x_stride + column, gain, width, epsilon);
            }
            write.end(arguments, key, row, y);
          }
        });
      });
}

std::unique_ptr<Kernel> make_backward(const Program& program, const Op& op,
                                      const Context& context) {
  const Tensor dy = op.inputs[0], x = op.inputs[1], dx = op.outputs[0], d_gain = op.outputs[1];
  const DType dtype = program.dtype(x);
  const std::int64_t rows = program.rows(x), groups = op.attributes.integer("groups");
  const std::int64_t width = x.columns / groups, bytes = size_of(dtype);
  const std::int64_t dy_stride = program.row_stride(dy) * bytes;
  const std::int64_t x_stride = program.row_stride(x) * bytes;
  const std::int64_t dx_stride = dx ? program.row_stride(dx) * bytes : 0;
  const RowQuantizer quantize(program, op, codes_of(op, CodesOf::output), dtype, context.isa);
  const GradientStart starts_now(op);
  const bool accumulate = op.attributes.flag("accumulate"), wants_gain = static_cast<bool>(d_gain);
  const auto backward = rms_norm_kernels(context.isa).backward[float_index(dtype)];
  ThreadPool& pool = context.pool;
  const std::int64_t tiles = tiles_of(rows);
  const std::int64_t workspace = wants_gain ? tiles * width * size_of(DType::f32) : 0;
  return make_kernel(workspace, [=, &pool](const KernelArguments& arguments, const Turn& turn) {
    const std::byte* upstream = arguments.inputs[0];
    const std::byte* from = arguments.inputs[1];
    const auto* gain = arguments.input<float>(2);
    const auto* inverse_rms = arguments.input<float>(3);
    std::byte* to = arguments.outputs[0];
    auto* partial = reinterpret_cast<float*>(arguments.workspace.data());
    const std::uint64_t key = quantize.key(arguments);
    pool.parallel_for(tiles, [&](std::int64_t tile, int) {
      float* sum = wants_gain ? partial + tile * width : nullptr;
      if (wants_gain) std::fill_n(sum, width, 0.0f);
      const std::int64_t last = std::min(rows, (tile + 1) * kTileRows);
      for (std::int64_t row = tile * kTileRows; row < last; ++row) {
        for (std::int64_t group = 0; group < groups; ++group) {
          const std::int64_t column = group * width * bytes;
          backward(to == nullptr ? nullptr : to + row * dx_stride + column, accumulate, sum,
                   upstream + row * dy_stride + column, from + row * x_stride + column, gain,
                   inverse_rms[row * groups + group], width);
        }
        if (quantize) quantize(arguments, key, row, to + row * dx_stride);
      }
    });
    if (!wants_gain) return;
    auto* total = arguments.output<float>(1);
    if (starts_now(turn)) std::fill_n(total, width, 0.0f);
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      for (std::int64_t i = 0; i < width; ++i) total[i] += partial[tile * width + i];
    }
  });
}

}  // namespace

std::span<const KernelEntry> rms_norm_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"rms_norm", make_forward},
                                             {"rms_norm_backward", make_backward}};
  return kEntries;
}

}  // namespace ingot::cpu

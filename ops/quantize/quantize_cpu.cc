#include "ops/quantize/quantize_cpu.h"

#include <algorithm>

#include "compress/quantizer.h"
#include "compress/quantizer_simd.h"

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
  const Tensor values = op.inputs[0], codes = op.outputs[0], scales = op.outputs[1];
  const DType dtype = program.dtype(values);
  const std::int64_t rows = program.rows(values), columns = values.columns;
  const std::int64_t stride = program.row_stride(values) * size_of(dtype);
  const std::int64_t codes_stride = program.row_stride(codes);
  const std::int64_t scales_stride = program.row_stride(scales);
  const std::int64_t group = op.attributes.integer("group");
  const auto tensor = static_cast<std::uint64_t>(op.attributes.integer("key")) ^
                      static_cast<std::uint64_t>(values.column) << 32;
  const bool stochastic = op.attributes.flag("stochastic");
  const QuantizerKernels& kernels = quantizer_kernels(context.isa);
  const auto nearest = kernels.quantize[float_index(dtype)];
  const auto random = kernels.quantize_stochastic[float_index(dtype)];
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const StepState& state) {
    const std::byte* from = arguments.inputs[0];
    auto* to = arguments.output<std::int8_t>(0);
    auto* to_scales = arguments.output<float>(1);
    const std::uint64_t key = rounding_key(state.seed, state.step, state.micro_step, tensor);
    for_each_row(pool, rows, columns, [&](std::int64_t row) {
      if (stochastic) {
        random(from + row * stride, columns, group, to + row * codes_stride,
               to_scales + row * scales_stride, rounding_row_key(key, row));
      } else {
        nearest(from + row * stride, columns, group, to + row * codes_stride,
                to_scales + row * scales_stride);
      }
    });
  });
}

std::unique_ptr<Kernel> make_dequantize(const Program& program, const Op& op,
                                        const Context& context) {
  const Tensor codes = op.inputs[0], scales = op.inputs[1], values = op.outputs[0];
  const DType dtype = program.dtype(values);
  const std::int64_t rows = program.rows(values), columns = values.columns;
  const std::int64_t stride = program.row_stride(values) * size_of(dtype);
  const std::int64_t codes_stride = program.row_stride(codes);
  const std::int64_t scales_stride = program.row_stride(scales);
  const std::int64_t group = op.attributes.integer("group");
  const auto dequantize = quantizer_kernels(context.isa).dequantize[float_index(dtype)];
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const StepState&) {
    const auto* from = arguments.input<std::int8_t>(0);
    const auto* from_scales = arguments.input<float>(1);
    std::byte* to = arguments.outputs[0];
    for_each_row(pool, rows, columns, [&](std::int64_t row) {
      dequantize(from + row * codes_stride, from_scales + row * scales_stride, columns, group,
                 to + row * stride);
    });
  });
}

}  // namespace

std::span<const KernelEntry> quantize_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"quantize", make_quantize},
                                             {"dequantize", make_dequantize}};
  return kEntries;
}

}  // namespace ingot::cpu

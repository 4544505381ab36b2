#include "ops/accumulate_gradient/accumulate_gradient_cpu.h"

#include <algorithm>
#include <vector>

#include "backends/cpu/elementwise_simd.h"
#include "engine/execution/gradient_squares.h"
#include "ops/accumulate_gradient/accumulate_gradient.h"
#include "ops/state_forms/state_forms_cpu.h"

namespace ingot::cpu {
namespace {

// Groups whose squares are summed at a time: they lie one after the other, in the L1 cache.
constexpr std::int64_t kRun = 32;

std::int64_t first_element(const StateLayout& layout, std::int64_t group) {
  const std::int64_t per_row = layout.groups_per_row();
  return group / per_row * layout.columns + group % per_row * kStateGroup;
}

std::unique_ptr<Kernel> make_accumulate(const Program& program, const Op& op,
                                        const Context& context) {
  const Shape& shape = program.info(op.outputs[0]).shape;
  const StateLayout layout{.rows = shape.rows(), .columns = shape.last()};
  const std::int64_t tiles = accumulated_square_sums(shape);
  const auto coder = [&](StateForm form, Rounding rounding) {
    return state_coder(form, DType::f32, rounding, context.isa);
  };
  const DecodeGroup decode_gradient = coder(StateForm::f32, Rounding::nearest).decode;
  const StateForm form = op.outputs[1] ? StateForm::bf16_residual : StateForm::bf16;
  const EncodeGroup encode_first = coder(form, Rounding::nearest).encode;
  const StateCoder sum =
      coder(form, form == StateForm::bf16 ? Rounding::stochastic : Rounding::nearest);
  const std::vector<DrawnRows> rows = drawn_rows(program, op);
  const auto sum_of_squares = elementwise_kernels(context.isa).sum_of_squares[1];  // bf16
  const SquareSums square_sums(op, 2);
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn& turn) {
    const StepState& now = *arguments.step;
    const Draws draws(rows, now.seed, now.step, now.micro_batch);
    const bool first = turn.first;
    std::byte *values = arguments.outputs[0], *residual = arguments.outputs[1];
    float* squares = square_sums(arguments, turn);
    const auto add = [&](const StateGroup& group) {
      alignas(64) float gradient[kGroupElements], total[kGroupElements];
      decode_gradient(arguments.inputs[0], nullptr, group, gradient);
      if (first) {
        encode_first(gradient, group, values, residual);
        return;
      }
      sum.decode(values, residual, group, total);
      for (int i = 0; i < group.count; ++i) total[i] += gradient[i];
      for (int i = group.count; i < kGroupElements; ++i) total[i] = 0;
      sum.encode(total, group, values, residual);
    };
    if (squares == nullptr) return for_all_groups(pool, layout, draws, add);
    pool.parallel_for(tiles, [&](std::int64_t tile, int) {
      double total = 0;
      const std::int64_t last = std::min(layout.groups(), (tile + 1) * kTileOfSquares);
      for (std::int64_t group = tile * kTileOfSquares; group < last; group += kRun) {
        const std::int64_t end = std::min(last, group + kRun);
        for_groups(layout, group, end, draws, add);
        const std::int64_t element = first_element(layout, group);
        total += sum_of_squares(values + element * size_of(DType::bf16),
                                first_element(layout, end) - element);
      }
      squares[tile] = static_cast<float>(total);
    });
  });
}

}  // namespace

std::span<const KernelEntry> accumulate_gradient_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"accumulate_gradient", make_accumulate}};
  return kEntries;
}

}  // namespace ingot::cpu

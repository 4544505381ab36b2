#include "ops/linear/int8_product_cpu.h"

#include "backends/cpu/int8_matmul.h"
#include "engine/execution/gradient_squares.h"
#include "engine/numbers/quantizer.h"
#include "engine/program/gradient_start.h"
#include "ops/pack_weight/pack_weight.h"

namespace ingot::cpu {

std::unique_ptr<Kernel> make_int8_product(const Program& program, const Op& op,
                                          const Context& context, MatmulSpec spec,
                                          std::int64_t a_rows, bool offsets) {
  spec.threads = context.pool.threads();
  spec.b_packed = static_cast<bool>(packed_weight_of(op));
  const bool a_coded = spec.a == DType::i8, b_coded = spec.b == DType::i8;
  const bool coded = a_coded || b_coded;
  const int weight = weight_input_of(op);
  const int scales = static_cast<int>(op.inputs.size()) - (spec.b_packed ? 2 : 1);
  const Int8Matmul matmul({.product = spec,
                           .block = b_coded ? kQuantizerGroup : op.attributes.integer("int8_block"),
                           .stochastic = op.attributes.flag("stochastic"),
                           .b_coded = b_coded,
                           .a_coded = a_coded},
                          context.isa);
  const Int8Matmul starting = op.attributes.flag("first") ? matmul.overwriting() : matmul;
  const GradientStart starts_now(op);
  const SquareSums squares(op, 1);
  const std::uint64_t stream = program.stream(op.inputs[0]);
  const std::int64_t bounds = offsets ? spec.groups + 1 : 0;
  ThreadPool& pool = context.pool;
  return make_kernel(
      matmul.workspace_bytes(), [=, &pool](const KernelArguments& arguments, const Turn& turn) {
        const Int8Matmul& now = starts_now(turn) ? starting : matmul;
        const std::span offsets_now(bounds ? arguments.input<std::int32_t>(2) : nullptr, bounds);
        now.run(pool, {.a = arguments.inputs[0],
                       .b = arguments.inputs[weight],
                       .c = arguments.outputs[0],
                       .bias = spec.bias ? arguments.input<float>(2) : nullptr,
                       .residual = spec.residual ? arguments.inputs[3] : nullptr,
                       .workspace = arguments.workspace,
                       .a_rows = a_rows,
                       .offsets = offsets_now,
                       .key = rounding_key(arguments.step->seed, arguments.step->step,
                                           arguments.step->micro_batch, stream),
                       .scales = coded ? arguments.input<float>(scales) : nullptr,
                       .squares = squares(arguments, turn)});
      });
}

}  // namespace ingot::cpu

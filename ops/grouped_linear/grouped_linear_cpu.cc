#include "ops/grouped_linear/grouped_linear_cpu.h"

#include "backends/cpu/matmul.h"
#include "engine/execution/gradient_squares.h"
#include "engine/program/gradient_start.h"
#include "ops/linear/int8_product_cpu.h"
#include "ops/pack_weight/pack_weight.h"

namespace ingot::cpu {
namespace {

// The three products differ in their spec only: inputs a, b, offsets; output c.
std::unique_ptr<Kernel> make_grouped(const Program& program, const Op& op, const Context& context,
                                     MatmulSpec spec) {
  const Tensor a = op.inputs[0], b = op.inputs[1], offsets = op.inputs[2], c = op.outputs[0];
  const std::int64_t experts = offsets.columns - 1, a_rows = program.rows(a);
  spec.a = program.dtype(a);
  spec.b = program.dtype(b);
  spec.c = program.dtype(c);
  spec.a_stride = program.row_stride(a);
  spec.groups = static_cast<int>(experts);
  spec.threads = context.pool.threads();
  if (spec.b == DType::i8 || op.attributes.flag("int8")) {
    return make_int8_product(program, op, context, spec, a_rows, true);
  }
  spec.b_packed = static_cast<bool>(packed_weight_of(op));
  const int weight = weight_input_of(op);
  const Matmul matmul(spec, context.isa);
  const Matmul starting = op.attributes.flag("first") ? matmul.overwriting() : matmul;
  const GradientStart starts_now(op);
  const SquareSums squares(op, 1);
  ThreadPool& pool = context.pool;
  return make_kernel(matmul.workspace_bytes(),
                     [=, &pool](const KernelArguments& arguments, const Turn& turn) {
                       const std::span offsets_now(arguments.input<std::int32_t>(2), experts + 1);
                       const Matmul& now = starts_now(turn) ? starting : matmul;
                       now.run(pool, {.a = arguments.inputs[0],
                                      .b = arguments.inputs[weight],
                                      .c = arguments.outputs[0],
                                      .workspace = arguments.workspace,
                                      .a_rows = a_rows,
                                      .offsets = offsets_now,
                                      .unpacked_b = arguments.inputs[1],
                                      .squares = squares(arguments, turn)});
                     });
}

std::unique_ptr<Kernel> make_forward(const Program& program, const Op& op, const Context& context) {
  const Tensor x = op.inputs[0], y = op.outputs[0];
  return make_grouped(program, op, context,
                      {.rows = program.rows(x),
                       .columns = y.columns,
                       .depth = x.columns,
                       .b_transposed = true,
                       .c_stride = program.row_stride(y)});
}

std::unique_ptr<Kernel> make_dgrad(const Program& program, const Op& op, const Context& context) {
  const Tensor dy = op.inputs[0], dx = op.outputs[0];
  return make_grouped(program, op, context,
                      {.rows = program.rows(dy),
                       .columns = dx.columns,
                       .depth = dy.columns,
                       .c_stride = program.row_stride(dx),
                       .accumulate = op.attributes.flag("accumulate")});
}

std::unique_ptr<Kernel> make_wgrad(const Program& program, const Op& op, const Context& context) {
  const Tensor dy = op.inputs[0], x = op.inputs[1];
  return make_grouped(program, op, context,
                      {.rows = dy.columns,
                       .columns = x.columns,
                       .depth = program.rows(dy),
                       .a_transposed = true,
                       .b_stride = program.row_stride(x),
                       .accumulate = true});
}

}  // namespace

std::span<const KernelEntry> grouped_linear_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"grouped_linear", make_forward},
                                             {"grouped_linear_dgrad", make_dgrad},
                                             {"grouped_linear_wgrad", make_wgrad}};
  return kEntries;
}

}  // namespace ingot::cpu

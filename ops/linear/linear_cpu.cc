#include "ops/linear/linear_cpu.h"

#include "backends/cpu/matmul.h"
#include "engine/execution/gradient_squares.h"
#include "engine/program/gradient_start.h"
#include "ops/linear/bias_gradient_cpu.h"
#include "ops/linear/int8_product_cpu.h"
#include "ops/linear/mixed_linear_cpu.h"
#include "ops/pack_weight/pack_weight.h"

namespace ingot::cpu {
namespace {

// The kernel of an op whose operands are those of the product: A, B, bias?, residual? -> C.
std::unique_ptr<Kernel> product(MatmulSpec spec, std::int64_t rows, const Program& program,
                                const Op& op, const Context& context) {
  if (spec.b == DType::i8 || op.attributes.flag("int8"))
    return make_int8_product(program, op, context, spec, rows, false);
  spec.threads = context.pool.threads();
  spec.b_packed = static_cast<bool>(packed_weight_of(op));
  const Matmul matmul(spec, context.isa);
  const bool bias = spec.bias, residual = spec.residual;
  const int b = weight_input_of(op);
  ThreadPool& pool = context.pool;
  return make_kernel(matmul.workspace_bytes(),
                     [=, &pool](const KernelArguments& arguments, const Turn&) {
                       matmul.run(pool, {.a = arguments.inputs[0],
                                         .b = arguments.inputs[b],
                                         .c = arguments.outputs[0],
                                         .bias = bias ? arguments.input<float>(2) : nullptr,
                                         .residual = residual ? arguments.inputs[3] : nullptr,
                                         .workspace = arguments.workspace,
                                         .a_rows = rows,
                                         .unpacked_b = arguments.inputs[1]});
                     });
}

std::unique_ptr<Kernel> make_linear(const Program& program, const Op& op, const Context& context) {
  const Tensor x = op.inputs[0], weight = op.inputs[1], residual = op.inputs[3];
  const Tensor y = op.outputs[0];
  const bool coded = program.dtype(weight) == DType::i8 || program.dtype(x) == DType::i8;
  if (program.dtype(x) != program.dtype(weight) && !coded) {
    return make_mixed_linear(program, op, context);
  }
  return product({.rows = program.rows(x),
                  .columns = y.columns,
                  .depth = x.columns,
                  .a = program.dtype(x),
                  .b = program.dtype(weight),
                  .c = program.dtype(y),
                  .b_transposed = true,
                  .a_stride = program.row_stride(x),
                  .c_stride = program.row_stride(y),
                  .residual_stride = residual ? program.row_stride(residual) : 0,
                  .bias = static_cast<bool>(op.inputs[2]),
                  .residual = static_cast<bool>(residual)},
                 program.rows(x), program, op, context);
}

std::unique_ptr<Kernel> make_dgrad(const Program& program, const Op& op, const Context& context) {
  const Tensor dy = op.inputs[0], weight = op.inputs[1], dx = op.outputs[0];
  if (program.dtype(dx) != program.dtype(weight)) return make_mixed_dgrad(program, op, context);
  return product({.rows = program.rows(dy),
                  .columns = dx.columns,
                  .depth = dy.columns,
                  .a = program.dtype(dy),
                  .b = program.dtype(weight),
                  .c = program.dtype(dx),
                  .a_stride = program.row_stride(dy),
                  .c_stride = program.row_stride(dx),
                  .accumulate = op.attributes.flag("accumulate")},
                 program.rows(dy), program, op, context);
}

std::unique_ptr<Kernel> make_wgrad(const Program& program, const Op& op, const Context& context) {
  const Tensor dy = op.inputs[0], x = op.inputs[1];
  const bool coded = program.dtype(dy) == DType::i8;
  if (program.dtype(dy) != program.dtype(x) && !coded) {
    return make_mixed_wgrad(program, op, context);
  }
  const std::int64_t rows = program.rows(dy);
  const MatmulSpec spec{.rows = dy.columns,
                        .columns = x.columns,
                        .depth = rows,
                        .a = program.dtype(dy),
                        .b = program.dtype(x),
                        .c = DType::f32,
                        .a_transposed = true,
                        .a_stride = program.row_stride(dy),
                        .b_stride = program.row_stride(x),
                        .accumulate = true,
                        .threads = context.pool.threads()};
  if (op.attributes.flag("int8")) return make_int8_product(program, op, context, spec, rows, false);
  const Matmul adding(spec, context.isa);
  const Matmul starting = op.attributes.flag("first") ? adding.overwriting() : adding;
  const GradientStart starts_now(op);
  const SquareSums squares(op, 1);
  ThreadPool& pool = context.pool;
  return make_kernel(adding.workspace_bytes(),
                     [=, &pool](const KernelArguments& arguments, const Turn& turn) {
                       (starts_now(turn) ? starting : adding)
                           .run(pool, {.a = arguments.inputs[0],
                                       .b = arguments.inputs[1],
                                       .c = arguments.outputs[0],
                                       .workspace = arguments.workspace,
                                       .a_rows = rows,
                                       .squares = squares(arguments, turn)});
                     });
}

}  // namespace

std::span<const KernelEntry> linear_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"linear", make_linear},
                                             {"linear_dgrad", make_dgrad},
                                             {"linear_wgrad", make_wgrad},
                                             {"bias_gradient", make_bias_gradient}};
  return kEntries;
}

}  // namespace ingot::cpu

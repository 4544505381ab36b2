#include "ops/cross_entropy/cross_entropy_cpu.h"

#include <algorithm>

#include "engine/execution/gradient_squares.h"
#include "engine/numbers/quantizer.h"
#include "engine/program/gradient_start.h"
#include "ops/cross_entropy/cross_entropy_simd.h"
#include "ops/cross_entropy/head_product.h"

namespace ingot::cpu {
namespace {

std::int64_t aligned(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

// A token's gradients are one number near -1, at its target, and small ones: with one scale for
// all, int8 would make noise of 9 % of them. Blocks keep that to the target's neighbours.
constexpr std::int64_t kDgradBlock = 512;

// What both ops share: the logits of a chunk of tokens, fp32, in the workspace.
struct Head {
  std::int64_t tokens, hidden, vocabulary, chunk, hidden_stride;
  std::int64_t logits_stride;  // no power of two: rows fall into different sets of the caches
  DType dtype;
  bool int8;
  std::int64_t int8_block;
  HeadProduct logits;
  std::int64_t logits_bytes, losses_bytes;

  Head(const Program& program, const Op& op, const Context& context)
      : tokens(program.rows(op.inputs[0])),
        hidden(op.inputs[0].columns),
        vocabulary(program.rows(op.inputs[1])),
        chunk(std::min(tokens, op.attributes.integer("chunk_rows"))),
        hidden_stride(program.row_stride(op.inputs[0])),
        logits_stride((vocabulary + 31) / 16 * 16),
        dtype(program.dtype(op.inputs[0])),
        int8(op.attributes.flag("int8")),
        int8_block(int8 ? op.attributes.integer("int8_block") : 0),
        logits({.rows = chunk,
                .columns = vocabulary,
                .depth = hidden,
                .a = dtype,
                .b = dtype,
                .c = DType::f32,
                .b_transposed = true,
                .a_stride = hidden_stride,
                .c_stride = logits_stride,
                .threads = context.pool.threads()},
               int8, int8_block, HeadProduct::Operand::activation, context.isa),
        logits_bytes(aligned(chunk * logits_stride * size_of(DType::f32))),
        losses_bytes(aligned(tokens * size_of(DType::f32))) {}

  std::int64_t hidden_bytes() const { return hidden_stride * size_of(dtype); }
};

// loss[0] = sum of the tokens' losses in their order, loss[1] = how many have a target.
void sum_losses(const float* losses, const std::int32_t* targets, std::int64_t tokens,
                float* loss) {
  double sum = 0;
  std::int64_t count = 0;
  for (std::int64_t token = 0; token < tokens; ++token) {
    if (targets[token] < 0) continue;
    sum += losses[token];
    ++count;
  }
  loss[0] = static_cast<float>(sum);
  loss[1] = static_cast<float>(count);
}

std::unique_ptr<Kernel> make_cross_entropy(const Program& program, const Op& op,
                                           const Context& context) {
  const Head head(program, op, context);
  const auto loss_of = cross_entropy_kernels(context.isa).loss;
  ThreadPool& pool = context.pool;
  const std::int64_t workspace =
      head.losses_bytes + head.logits_bytes + head.logits.workspace_bytes();
  return make_kernel(workspace, [=, &pool](const KernelArguments& arguments, const Turn&) {
    auto* losses = reinterpret_cast<float*>(arguments.workspace.data());
    auto* logits = reinterpret_cast<float*>(arguments.workspace.data() + head.losses_bytes);
    const auto rest = arguments.workspace.subspan(head.losses_bytes + head.logits_bytes);
    const auto* targets = arguments.input<std::int32_t>(2);
    for (std::int64_t first = 0; first < head.tokens; first += head.chunk) {
      const std::int64_t rows = std::min(head.chunk, head.tokens - first);
      head.logits.run(pool, arguments.inputs[0] + first * head.hidden_bytes(), arguments.inputs[1],
                      logits, rest, rows, 0);
      pool.parallel_for(rows, [&](std::int64_t row, int) {
        const std::int32_t target = targets[first + row];
        if (target >= 0) {
          losses[first + row] = loss_of(logits + row * head.logits_stride, head.vocabulary, target);
        }
      });
    }
    sum_losses(losses, targets, head.tokens, arguments.output<float>(0));
  });
}

std::unique_ptr<Kernel> make_cross_entropy_backward(const Program& program, const Op& op,
                                                    const Context& context) {
  const Head head(program, op, context);
  const DType dtype = head.dtype;
  const Tensor d_hidden = op.outputs[1], d_weight = op.outputs[2];
  const std::int64_t factor_slot = op.attributes.integer("factor_slot");
  const auto gradient = cross_entropy_kernels(context.isa).gradient[float_index(dtype)];
  const int threads = context.pool.threads();
  // Gradients take the place of the logits, row by row.
  const std::int64_t d_logits_stride = head.logits_stride * size_of(DType::f32) / size_of(dtype);
  const HeadProduct dgrad({.rows = head.chunk,
                           .columns = head.hidden,
                           .depth = head.vocabulary,
                           .a = dtype,
                           .b = dtype,
                           .c = dtype,
                           .a_stride = d_logits_stride,
                           .c_stride = d_hidden ? program.row_stride(d_hidden) : 0,
                           .accumulate = op.attributes.flag("accumulate"),
                           .threads = threads},
                          head.int8, head.int8_block > 0 ? head.int8_block : kDgradBlock,
                          HeadProduct::Operand::gradient, context.isa);
  const HeadProduct wgrad({.rows = head.vocabulary,
                           .columns = head.hidden,
                           .depth = head.chunk,
                           .a = dtype,
                           .b = dtype,
                           .c = DType::f32,
                           .a_transposed = true,
                           .a_stride = d_logits_stride,
                           .b_stride = head.hidden_stride,
                           .accumulate = true,
                           .threads = threads},
                          op.attributes.flag("int8_wgrad"), head.int8_block,
                          HeadProduct::Operand::gradient, context.isa);
  const HeadProduct starting = op.attributes.flag("first") ? wgrad.overwriting() : wgrad;
  const std::int64_t scratch =
      std::max({head.logits.workspace_bytes(), dgrad.workspace_bytes(), wgrad.workspace_bytes()});
  const std::int64_t d_hidden_bytes = d_hidden ? program.row_stride(d_hidden) * size_of(dtype) : 0;
  const bool wants_hidden = static_cast<bool>(d_hidden), wants_weight = static_cast<bool>(d_weight);
  const GradientStart starts_now(op);
  const SquareSums squares(op, 3);
  const std::uint64_t stream = program.stream(op.inputs[0]);
  ThreadPool& pool = context.pool;
  return make_kernel(
      head.losses_bytes + head.logits_bytes + scratch,
      [=, &pool](const KernelArguments& arguments, const Turn& turn) {
        std::byte* place = arguments.workspace.data();
        auto* losses = reinterpret_cast<float*>(place);
        auto* logits = reinterpret_cast<float*>(place + head.losses_bytes);
        const auto rest = arguments.workspace.subspan(head.losses_bytes + head.logits_bytes);
        const auto* targets = arguments.input<std::int32_t>(2);
        // Of the gradient of each token's loss.
        const auto factor =
            static_cast<float>(arguments.step->slots[factor_slot] * arguments.step->loss_scale);
        for (std::int64_t first = 0; first < head.tokens; first += head.chunk) {
          const std::int64_t rows = std::min(head.chunk, head.tokens - first);
          const std::byte* hidden = arguments.inputs[0] + first * head.hidden_bytes();
          const std::uint64_t key =
              rounding_row_key(rounding_key(arguments.step->seed, arguments.step->step,
                                            arguments.step->micro_batch, stream),
                               first);
          head.logits.run(pool, hidden, arguments.inputs[1], logits, rest, rows, 0);
          pool.parallel_for(rows, [&](std::int64_t row, int) {
            const std::int32_t target = targets[first + row];
            float* row_logits = logits + row * head.logits_stride;
            if (target < 0) {
              std::fill_n(row_logits, head.vocabulary, 0.0f);
            } else {
              losses[first + row] = gradient(row_logits, head.vocabulary, target, factor);
            }
          });
          if (wants_hidden) {
            dgrad.run(pool, logits, arguments.inputs[1],
                      arguments.outputs[1] + first * d_hidden_bytes, rest, rows, key);
          }
          if (wants_weight) {
            const bool starts = first == 0 && starts_now(turn);
            const bool completes = first + rows == head.tokens;
            (starts ? starting : wgrad)
                .run(pool, logits, hidden, arguments.outputs[2], rest, rows, key,
                     completes ? squares(arguments, turn) : nullptr);
          }
        }
        sum_losses(losses, targets, head.tokens, arguments.output<float>(0));
      });
}

}  // namespace

std::span<const KernelEntry> cross_entropy_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {
      {"cross_entropy", make_cross_entropy},
      {"cross_entropy_backward", make_cross_entropy_backward}};
  return kEntries;
}

}  // namespace ingot::cpu

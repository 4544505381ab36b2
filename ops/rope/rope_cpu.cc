#include "ops/rope/rope_cpu.h"

#include <algorithm>

#include "ops/rope/rope_simd.h"

namespace ingot::cpu {
namespace {

constexpr std::int64_t kTileTokens = 128, kTokensAhead = 4;

template <class T>
std::unique_ptr<Kernel> make(const Program& program, const Op& op, const Context& context,
                             const RopeFunctions<T>& functions) {
  const Attributes& a = op.attributes;
  const std::int64_t tokens = program.rows(op.inputs[0]);
  const std::int64_t row_stride = program.row_stride(op.inputs[0]);
  const std::int64_t count = a.integer("count"), stride = a.integer("stride");
  const std::int64_t offset = a.integer("offset"), half = a.integer("half");
  const float sign = a.flag("inverse") ? -1.0f : 1.0f;
  const auto rotate = a.flag("interleaved") ? functions.adjacent : functions.split;
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn&) {
    T* x = arguments.output<T>(0) + offset;
    const auto* table = arguments.input<float>(1);
    const auto* positions = arguments.input<std::int32_t>(2);
    pool.parallel_for((tokens + kTileTokens - 1) / kTileTokens, [&](std::int64_t tile, int) {
      const std::int64_t last = std::min(tokens, (tile + 1) * kTileTokens);
      for (std::int64_t token = tile * kTileTokens; token < last; ++token) {
        rotate(x + token * row_stride, count, stride, kTokensAhead * row_stride,
               table + positions[token] * 2 * half, half, sign);
      }
    });
  });
}

std::unique_ptr<Kernel> make_rope(const Program& program, const Op& op, const Context& context) {
  const RopeKernels& kernels = rope_kernels(context.isa);
  switch (program.dtype(op.inputs[0])) {
    case DType::bf16:
      return make(program, op, context, kernels.bf16);
    case DType::f16:
      return make(program, op, context, kernels.f16);
    default:
      return make(program, op, context, kernels.f32);
  }
}

}  // namespace

std::span<const KernelEntry> rope_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"rope", make_rope}};
  return kEntries;
}

}  // namespace ingot::cpu

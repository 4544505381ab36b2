#include "ops/adamw/adamw_cpu.h"

#include <algorithm>
#include <cmath>

#include "ops/adamw/adamw_simd.h"

namespace ingot::cpu {
namespace {

constexpr std::int64_t kTile = 16384;  // elements

std::unique_ptr<Kernel> make_adamw(const Program& program, const Op& op, const Context& context) {
  const std::int64_t elements = program.info(op.outputs[0]).shape.elements();
  const Tensor copy = op.outputs[3];
  const int copy_index = copy ? float_index(program.dtype(copy)) : 0;
  const std::int64_t copy_bytes = copy ? size_of(program.dtype(copy)) : 0;
  const double beta1 = op.attributes.real("beta1"), beta2 = op.attributes.real("beta2");
  const double epsilon = op.attributes.real("epsilon"), decay = op.attributes.real("decay");
  const auto update = adamw_kernels(context.isa).update[copy_index];
  ThreadPool& pool = context.pool;
  const std::int64_t tiles = (elements + kTile - 1) / kTile;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const StepState& state) {
    if (*arguments.input<float>(2) != 0) return;
    const auto t = static_cast<double>(state.updates + 1);
    const AdamwStep step{.scale = *arguments.input<float>(1),
                         .beta1 = static_cast<float>(beta1),
                         .beta2 = static_cast<float>(beta2),
                         .first_correction = static_cast<float>(1 / (1 - std::pow(beta1, t))),
                         .second_correction = static_cast<float>(1 / (1 - std::pow(beta2, t))),
                         .epsilon = static_cast<float>(epsilon),
                         .learning_rate = static_cast<float>(state.learning_rate),
                         .keep = static_cast<float>(1 - state.learning_rate * decay)};
    pool.parallel_for(tiles, [&](std::int64_t tile, int) {
      const std::int64_t first = tile * kTile;
      std::byte* rounded = arguments.outputs[3];
      update(arguments.input<float>(0) + first, arguments.output<float>(0) + first,
             arguments.output<float>(1) + first, arguments.output<float>(2) + first,
             rounded == nullptr ? nullptr : rounded + first * copy_bytes,
             std::min(kTile, elements - first), step);
    });
  });
}

}  // namespace

std::span<const KernelEntry> adamw_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"adamw", make_adamw}};
  return kEntries;
}

}  // namespace ingot::cpu

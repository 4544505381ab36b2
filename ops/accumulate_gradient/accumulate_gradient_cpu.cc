#include "ops/accumulate_gradient/accumulate_gradient_cpu.h"

#include "engine/random.h"
#include "ops/state_forms/state_forms_cpu.h"

namespace ingot::cpu {
namespace {

std::unique_ptr<Kernel> make_accumulate(const Program& program, const Op& op,
                                        const Context& context) {
  const Shape& shape = program.info(op.outputs[0]).shape;
  const StateLayout layout{.rows = shape.rows(), .columns = shape.last()};
  const auto coder = [&](StateForm form, Rounding rounding) {
    return state_coder(form, DType::f32, rounding, context.isa);
  };
  const DecodeGroup decode_gradient = coder(StateForm::f32, Rounding::nearest).decode;
  const EncodeGroup encode_first = coder(StateForm::bf16, Rounding::nearest).encode;
  const StateCoder sum = coder(StateForm::bf16, Rounding::stochastic);
  const std::uint64_t stream = random_stream(op.name);
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const StepState& state) {
    const std::uint64_t key = rounding_key(state.seed, state.step, state.micro_step, stream);
    const bool first = state.micro_step == 0;
    for_all_groups(pool, layout, key, [&](const StateGroup& group) {
      alignas(64) float gradient[kGroupElements], total[kGroupElements];
      decode_gradient(arguments.inputs[0], nullptr, group, gradient);
      if (first) {
        encode_first(gradient, group, arguments.outputs[0], nullptr);
        return;
      }
      sum.decode(arguments.outputs[0], nullptr, group, total);
      for (int i = 0; i < group.count; ++i) total[i] += gradient[i];
      for (int i = group.count; i < kGroupElements; ++i) total[i] = 0;
      sum.encode(total, group, arguments.outputs[0], nullptr);
    });
  });
}

}  // namespace

std::span<const KernelEntry> accumulate_gradient_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"accumulate_gradient", make_accumulate}};
  return kEntries;
}

}  // namespace ingot::cpu

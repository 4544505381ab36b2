#include "ops/adamw/adamw_cpu.h"

#include <cmath>
#include <vector>

#include "ops/adamw/adamw_simd.h"
#include "ops/state_forms/state_forms_cpu.h"

namespace ingot::cpu {
namespace {

// With a slower average than this a second moment moves by less than half a code in a step and
// would stand still; with a faster one rounding to nearest has less noise (memory.md C2).
constexpr double kSlowBeta = 0.98;

// Tells the second moment's random numbers from the weight's.
constexpr std::uint64_t kSecondMoment = 0x5851f42d4c957f2d;

struct AdamwCoders {
  DecodeGroup gradient;
  StateCoder weight, first, second;
};

AdamwCoders coders_of(const Program& program, const Op& op, Isa isa) {
  const auto form = [&](std::string_view name) {
    return static_cast<StateForm>(op.attributes.integer(name));
  };
  const DType copy = op.outputs[1] ? program.dtype(op.outputs[1]) : DType::f32;
  const bool slow = op.attributes.real("beta2") > kSlowBeta;
  return {state_coder(plain_form(program.dtype(op.inputs[0])), DType::f32, Rounding::nearest, isa)
              .decode,
          state_coder(form("weight_form"), copy, Rounding::stochastic, isa),
          state_coder(form("first_form"), DType::f32, Rounding::nearest, isa),
          state_coder(form("second_form"), DType::f32,
                      slow ? Rounding::stochastic : Rounding::nearest, isa)};
}

std::unique_ptr<Kernel> make_adamw(const Program& program, const Op& op, const Context& context) {
  const Shape& shape = program.info(op.outputs[0]).shape;
  const StateLayout layout{.rows = shape.rows(), .columns = shape.last()};
  const AdamwCoders coders = coders_of(program, op, context.isa);
  const double beta1 = op.attributes.real("beta1"), beta2 = op.attributes.real("beta2");
  const double epsilon = op.attributes.real("epsilon"), decay = op.attributes.real("decay");
  const std::vector<DrawnRows> rows = drawn_rows(program, op);
  const auto update = adamw_kernels(context.isa).update;
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn&) {
    if (*arguments.input<float>(2) != 0) return;
    const StepState& now = *arguments.step;
    const double updates = arguments.input<double>(3)[kUpdates], t = updates + 1;
    const AdamwStep step{.scale = *arguments.input<float>(1),
                         .beta1 = static_cast<float>(beta1),
                         .beta2 = static_cast<float>(beta2),
                         .first_correction = static_cast<float>(1 / (1 - std::pow(beta1, t))),
                         .second_correction = static_cast<float>(1 / (1 - std::pow(beta2, t))),
                         .epsilon = static_cast<float>(epsilon),
                         .learning_rate = static_cast<float>(now.learning_rate),
                         .keep = static_cast<float>(1 - now.learning_rate * decay)};
    const Draws draws(rows, now.seed, static_cast<std::int64_t>(updates), 0);
    const auto& out = arguments.outputs;
    for_all_groups(pool, layout, draws, [&](const StateGroup& group) {
      alignas(64) float gradient[kGroupElements], weight[kGroupElements];
      alignas(64) float first[kGroupElements], second[kGroupElements];
      coders.gradient(arguments.inputs[0], nullptr, group, gradient);
      coders.weight.decode(out[0], out[1], group, weight);
      coders.first.decode(out[2], out[3], group, first);
      coders.second.decode(out[4], out[5], group, second);
      update(gradient, weight, first, second, group.count, step);
      coders.weight.encode(weight, group, out[0], out[1]);
      coders.first.encode(first, group, out[2], out[3]);
      StateGroup second_group = group;
      second_group.row_key ^= kSecondMoment;
      coders.second.encode(second, second_group, out[4], out[5]);
    });
  });
}

}  // namespace

std::span<const KernelEntry> adamw_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"adamw", make_adamw}};
  return kEntries;
}

}  // namespace ingot::cpu

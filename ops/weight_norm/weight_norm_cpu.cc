#include "ops/weight_norm/weight_norm_cpu.h"

#include <algorithm>
#include <cmath>

#include "backends/cpu/elementwise.h"

namespace ingot::cpu {
namespace {

std::unique_ptr<Kernel> make_weight_norm(const Program& program, const Op& op,
                                         const Context& context) {
  const DType dtype = program.dtype(op.inputs[0]);
  const std::int64_t elements = program.info(op.inputs[0]).shape.elements();
  const std::int64_t blocks = sum_of_squares_blocks(elements);
  const double clip_norm = op.attributes.real("clip_norm");
  ThreadPool& pool = context.pool;
  return make_kernel(
      blocks * static_cast<std::int64_t>(sizeof(double)),
      [=, &pool](const KernelArguments& arguments, const Turn&) {
        auto* partial = reinterpret_cast<double*>(arguments.workspace.data());
        const double sum = sum_of_squares(pool, dtype, arguments.inputs[0], elements,
                                          {partial, static_cast<std::size_t>(blocks)});
        const auto norm = static_cast<float>(std::sqrt(sum) / arguments.step->loss_scale);
        const double previous_norm = arguments.input<double>(1)[kPreviousNorm];
        double scale = 1.0 / arguments.step->loss_scale;
        // The weight's own gradient is part of this step's norm: a spike in it is clipped at once.
        const double largest = std::max(previous_norm, double{norm});
        if (clip_norm > 0) scale *= std::min(1.0, clip_norm / (largest + 1e-6));
        *arguments.output<float>(0) = norm;
        *arguments.output<float>(1) = static_cast<float>(scale);
        *arguments.output<float>(2) = std::isfinite(norm) ? 0.0f : 1.0f;
      });
}

std::unique_ptr<Kernel> make_total_norm(const Program&, const Op& op, const Context&) {
  const std::size_t count = op.inputs.size();
  const std::int64_t norm_slot = op.attributes.integer("norm"),
                     skipped_slot = op.attributes.integer("skipped");
  return make_kernel(0, [=](const KernelArguments& arguments, const Turn&) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const double norm = *arguments.input<float>(static_cast<int>(i));
      sum += norm * norm;
    }
    const auto norm = static_cast<float>(std::sqrt(sum));
    const bool skipped = !std::isfinite(norm);
    auto* report = arguments.output<double>(1);
    *arguments.output<float>(0) = skipped ? 1.0f : 0.0f;
    report[norm_slot] = norm;
    report[skipped_slot] = skipped ? 1 : 0;
  });
}

}  // namespace

std::span<const KernelEntry> weight_norm_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"weight_norm", make_weight_norm},
                                             {"total_norm", make_total_norm}};
  return kEntries;
}

}  // namespace ingot::cpu

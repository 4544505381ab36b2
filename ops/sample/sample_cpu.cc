#include "ops/sample/sample_cpu.h"

#include <span>

#include "ops/sample/pick_token.h"

namespace ingot::cpu {
namespace {

std::unique_ptr<Kernel> make_sample(const Program& program, const Op& op, const Context& context) {
  const std::int64_t sequences = program.rows(op.inputs[0]), vocabulary = op.inputs[0].columns;
  const std::int64_t stride = program.row_stride(op.inputs[0]);
  const auto scratch_bytes = static_cast<std::int64_t>(sizeof(double) + sizeof(std::int32_t)) *
                             ((vocabulary + 15) / 16 * 16);
  ThreadPool& pool = context.pool;
  return make_kernel(
      pool.threads() * scratch_bytes, [=, &pool](const KernelArguments& arguments, const Turn&) {
        const auto* rows = arguments.input<SampleRow>(1);
        const auto width = static_cast<std::size_t>(vocabulary);
        pool.parallel_for(sequences, [&](std::int64_t i, int thread) {
          auto* weights =
              reinterpret_cast<double*>(arguments.workspace.data() + thread * scratch_bytes);
          const std::span order(reinterpret_cast<std::int32_t*>(weights + width), width);
          const Picked picked = pick_token({arguments.input<float>(0) + i * stride, width}, rows[i],
                                           order, {weights, width});
          arguments.output<std::int32_t>(0)[i] = picked.token;
          arguments.output<float>(1)[i] = picked.log_probability;
        });
      });
}

}  // namespace

std::span<const KernelEntry> sample_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"sample", make_sample}};
  return kEntries;
}

}  // namespace ingot::cpu

#include "ops/gradient_norm/gradient_norm_cpu.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "backends/cpu/elementwise_simd.h"

namespace ingot::cpu {
namespace {

constexpr std::int64_t kBlock = 262144;  // elements of one partial sum

// One block of one gradient, or of sums of squares.
struct Piece {
  int input;
  std::int64_t first_byte, count;
  double (*sum)(const void* x, std::int64_t count);
};

double sum_of_sums(const void* x, std::int64_t count) {
  const auto* sums = static_cast<const float*>(x);
  double total = 0;
  for (std::int64_t i = 0; i < count; ++i) total += sums[i];
  return total;
}

std::unique_ptr<Kernel> make_gradient_norm(const Program& program, const Op& op,
                                           const Context& context) {
  std::vector<Piece> pieces;
  const std::size_t gradients = op.inputs.size() - op.attributes.integer("square_sums");
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    const std::int64_t elements = program.info(op.inputs[i]).shape.elements();
    const DType dtype = program.dtype(op.inputs[i]);
    const auto sum = i < gradients
                         ? elementwise_kernels(context.isa).sum_of_squares[float_index(dtype)]
                         : sum_of_sums;
    for (std::int64_t first = 0; first < elements; first += kBlock) {
      pieces.push_back(
          {static_cast<int>(i), first * size_of(dtype), std::min(kBlock, elements - first), sum});
    }
  }
  const auto workspace = static_cast<std::int64_t>(pieces.size() * sizeof(double));
  const double clip_norm = op.attributes.real("clip_norm");
  ThreadPool& pool = context.pool;
  return make_kernel(workspace, [=, &pool, pieces = std::move(pieces)](
                                    const KernelArguments& arguments, const StepState& state) {
    auto* partial = reinterpret_cast<double*>(arguments.workspace.data());
    const auto count = static_cast<std::int64_t>(pieces.size());
    pool.parallel_for(count, [&](std::int64_t i, int) {
      const Piece& piece = pieces[i];
      partial[i] = piece.sum(arguments.inputs[piece.input] + piece.first_byte, piece.count);
    });
    double total = 0;
    for (std::int64_t i = 0; i < count; ++i) total += partial[i];
    const auto norm = static_cast<float>(std::sqrt(total) / state.loss_scale);
    double scale = 1.0 / state.loss_scale;
    if (clip_norm > 0) scale *= std::min(1.0, clip_norm / (static_cast<double>(norm) + 1e-6));
    const bool skip = state.skip_update || !std::isfinite(norm) || norm > state.norm_limit;
    *arguments.output<float>(0) = norm;
    *arguments.output<float>(1) = static_cast<float>(scale);
    *arguments.output<float>(2) = skip ? 1.0f : 0.0f;
  });
}

}  // namespace

std::span<const KernelEntry> gradient_norm_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"gradient_norm", make_gradient_norm}};
  return kEntries;
}

}  // namespace ingot::cpu

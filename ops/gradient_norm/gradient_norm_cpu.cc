#include "ops/gradient_norm/gradient_norm_cpu.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "backends/cpu/elementwise_simd.h"
#include "ops/gradient_norm/gradient_norm.h"

namespace ingot::cpu {
namespace {

// A piece of one gradient, or of sums of squares.
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

std::unique_ptr<Kernel> make_square_sums(const Program& program, const Op& op,
                                         const Context& context) {
  std::vector<Piece> pieces;
  const std::size_t gradients = op.inputs.size() - op.attributes.integer("sums");
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    const std::int64_t elements = program.info(op.inputs[i]).shape.elements();
    const DType dtype = program.dtype(op.inputs[i]);
    const auto sum = i < gradients
                         ? elementwise_kernels(context.isa).sum_of_squares[float_index(dtype)]
                         : sum_of_sums;
    for (std::int64_t first = 0; first < elements; first += kSquarePiece) {
      pieces.push_back({static_cast<int>(i), first * size_of(dtype),
                        std::min(kSquarePiece, elements - first), sum});
    }
  }
  ThreadPool& pool = context.pool;
  return make_kernel(
      0, [&pool, pieces = std::move(pieces)](const KernelArguments& arguments, const Turn&) {
        auto* squares = arguments.output<double>(0);
        pool.parallel_for(static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i, int) {
          const Piece& piece = pieces[i];
          squares[i] = piece.sum(arguments.inputs[piece.input] + piece.first_byte, piece.count);
        });
      });
}

std::unique_ptr<Kernel> make_decide(const Program&, const Op& op, const Context&) {
  const std::int64_t count = op.inputs[0].columns;
  const double clip_norm = op.attributes.real("clip_norm");
  const std::int64_t loss = op.attributes.integer("loss"),
                     targets = op.attributes.integer("targets"),
                     norm_slot = op.attributes.integer("norm"),
                     skipped_slot = op.attributes.integer("skipped");
  return make_kernel(0, [=](const KernelArguments& arguments, const Turn&) {
    const StepState& step = *arguments.step;
    const auto* squares = arguments.input<double>(0);
    auto* report = arguments.output<double>(2);
    double total = 0;
    for (std::int64_t i = 0; i < count; ++i) total += squares[i];
    const auto norm = static_cast<float>(std::sqrt(total) / step.loss_scale);
    double scale = 1.0 / step.loss_scale;
    if (clip_norm > 0) scale *= std::min(1.0, clip_norm / (static_cast<double>(norm) + 1e-6));
    bool skip = !std::isfinite(norm) || norm > step.norm_limit;
    if (loss >= 0) {
      const double mean = report[loss] / (report[targets] > 0 ? report[targets] : 1);
      skip = skip || !std::isfinite(report[loss]) || mean > step.loss_limit;
    }
    *arguments.output<float>(0) = static_cast<float>(scale);
    *arguments.output<float>(1) = skip ? 1.0f : 0.0f;
    report[norm_slot] = norm;
    report[skipped_slot] = skip ? 1 : 0;
  });
}

std::unique_ptr<Kernel> make_advance(const Program&, const Op& op, const Context&) {
  const std::int64_t slot = op.attributes.integer("norm");
  return make_kernel(0, [=](const KernelArguments& arguments, const Turn&) {
    const double norm = arguments.input<double>(1)[slot];
    auto* progress = arguments.output<double>(0);
    if (*arguments.input<float>(0) == 0) progress[kUpdates] += 1;
    if (std::isfinite(norm)) progress[kPreviousNorm] = norm;
    progress[kNonfiniteInARow] = std::isfinite(norm) ? 0 : progress[kNonfiniteInARow] + 1;
  });
}

}  // namespace

std::span<const KernelEntry> gradient_norm_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {
      {"square_sums", make_square_sums}, {"decide", make_decide}, {"advance", make_advance}};
  return kEntries;
}

}  // namespace ingot::cpu

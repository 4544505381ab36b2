#include "ops/router/router_cpu.h"

#include <algorithm>

#include "ops/router/router_simd.h"

namespace ingot::cpu {
namespace {

constexpr std::int64_t kTileTokens = 64;
constexpr std::int64_t kChunkExperts = 64;

RouterShape shape_of(const Program& program, const Op& op, Tensor chosen, Tensor scores) {
  return {.experts = scores.columns,
          .selected = program.row_stride(chosen),
          .groups = op.attributes.integer("groups"),
          .kept_groups = op.attributes.integer("kept_groups"),
          .sigmoid = op.attributes.flag("sigmoid"),
          .top_two = op.attributes.flag("top_two"),
          .normalize = op.attributes.flag("normalize"),
          .scaling = static_cast<float>(op.attributes.real("scaling"))};
}

// How tokens are cut into tiles: no tile holds tokens of two sequences. A region is what f_i and
// P_i are taken over: a sequence, or the whole micro-batch.
struct Tiling {
  std::int64_t batch, sequence, tiles_per_sequence, regions;

  Tiling(const Program& program, const Op& op, Tensor scores, Tensor balance_slope)
      : batch(op.attributes.integer("batch")),
        sequence(program.rows(scores) / batch),
        tiles_per_sequence((sequence + kTileTokens - 1) / kTileTokens),
        regions(balance_slope ? program.rows(balance_slope) : 1) {}

  std::int64_t tiles() const { return batch * tiles_per_sequence; }
  std::int64_t tiles_per_region() const { return tiles() / regions; }
  std::int64_t first_token(std::int64_t tile) const {
    return tile / tiles_per_sequence * sequence + tile % tiles_per_sequence * kTileTokens;
  }
  std::int64_t tokens(std::int64_t tile) const {
    return std::min(kTileTokens, sequence - tile % tiles_per_sequence * kTileTokens);
  }
};

// What the tiles counted, in the op's workspace, and the sums over tiles.
struct Counts {
  std::int32_t* selections;  // [tiles, experts + 1]: of each expert; counted tokens
  float* score_sums;         // [tiles, experts]
  double* losses;            // [chunks, regions]
};

class Route {
 public:
  Route(const Program& program, const Op& op, const Context& context)
      : pool_(context.pool),
        route_rows_(router_kernels(context.isa).route_rows),
        shape_(shape_of(program, op, op.outputs[0], op.outputs[2])),
        tiling_(program, op, op.outputs[2], op.outputs[4]),
        logits_stride_(program.row_stride(op.inputs[0])),
        balanced_(static_cast<bool>(op.outputs[4])),
        counted_(op.attributes.flag("count")),
        chunks_((shape_.experts + kChunkExperts - 1) / kChunkExperts) {}

  std::int64_t workspace_bytes() const {
    const std::int64_t counts = tiling_.tiles() * (2 * shape_.experts + 1);
    return 8 * chunks_ * tiling_.regions + 4 * (pool_.threads() * route_scratch(shape_) + counts);
  }

  void run(const KernelArguments& arguments) const {
    auto* losses = reinterpret_cast<double*>(arguments.workspace.data());
    auto* scratch = reinterpret_cast<float*>(losses + chunks_ * tiling_.regions);
    float* score_sums = scratch + pool_.threads() * route_scratch(shape_);
    const Counts counts{.selections = reinterpret_cast<std::int32_t*>(
                            score_sums + tiling_.tiles() * shape_.experts),
                        .score_sums = score_sums,
                        .losses = losses};
    pool_.parallel_for(tiling_.tiles(), [&](std::int64_t tile, int thread) {
      route_tile(arguments, counts, tile, scratch + thread * route_scratch(shape_));
    });
    if (!balanced_ && !counted_) return;
    pool_.parallel_for(chunks_,
                       [&](std::int64_t chunk, int) { sum_chunk(arguments, counts, chunk); });
    if (!balanced_) return;
    double loss = 0;
    for (std::int64_t i = 0; i < chunks_ * tiling_.regions; ++i) loss += losses[i];
    arguments.output<float>(3)[0] = static_cast<float>(loss / static_cast<double>(tiling_.regions));
  }

 private:
  void route_tile(const KernelArguments& arguments, const Counts& counts, std::int64_t tile,
                  float* scratch) const {
    const std::int64_t first = tiling_.first_token(tile);
    const std::int32_t* ids = arguments.input<std::int32_t>(2);
    const std::int64_t experts = shape_.experts, selected = shape_.selected;
    route_rows_(
        {.shape = shape_,
         .rows = tiling_.tokens(tile),
         .logits_stride = logits_stride_,
         .logits = arguments.input<float>(0) + first * logits_stride_,
         .bias = arguments.input<float>(1),
         .ids = ids == nullptr ? nullptr : ids + first,
         .chosen = arguments.output<std::int32_t>(0) + first * selected,
         .weights = arguments.output<float>(1) + first * selected,
         .scores = arguments.output<float>(2) + first * experts,
         .counts = balanced_ || counted_ ? counts.selections + tile * (experts + 1) : nullptr,
         .score_sums = balanced_ ? counts.score_sums + tile * experts : nullptr,
         .scratch = scratch});
  }

  // Sums over the tiles of each region, in their order, for some experts.
  void sum_chunk(const KernelArguments& arguments, const Counts& counts, std::int64_t chunk) const {
    const std::int64_t experts = shape_.experts, first = chunk * kChunkExperts;
    const std::int64_t width = std::min(kChunkExperts, experts - first);
    std::int32_t total[kChunkExperts] = {};
    for (std::int64_t region = 0; region < tiling_.regions; ++region) {
      std::int32_t selections[kChunkExperts] = {};
      double score_sums[kChunkExperts] = {}, tokens = 0;
      const std::int64_t tiles = tiling_.tiles_per_region();
      for (std::int64_t tile = region * tiles; tile < (region + 1) * tiles; ++tile) {
        const std::int32_t* of_tile = counts.selections + tile * (experts + 1);
        tokens += of_tile[experts];
        for (std::int64_t i = 0; i < width; ++i) selections[i] += of_tile[first + i];
        if (!balanced_) continue;
        const float* sums = counts.score_sums + tile * experts + first;
        for (std::int64_t i = 0; i < width; ++i) score_sums[i] += sums[i];
      }
      for (std::int64_t i = 0; i < width; ++i) total[i] += selections[i];
      if (!balanced_) continue;
      // f_i / T = E n_i / (K T^2); 0 in a sequence of padding.
      const double scale = tokens == 0
                               ? 0
                               : static_cast<double>(experts) /
                                     (static_cast<double>(shape_.selected) * tokens * tokens);
      float* slope = arguments.output<float>(4) + region * experts + first;
      double loss = 0;
      for (std::int64_t i = 0; i < width; ++i) {
        slope[i] = static_cast<float>(scale * selections[i]);
        loss += scale * selections[i] * score_sums[i];
      }
      counts.losses[chunk * tiling_.regions + region] = loss;
    }
    if (!counted_) return;
    std::int32_t* load = arguments.output<std::int32_t>(5) + first;
    for (std::int64_t i = 0; i < width; ++i) load[i] += total[i];
  }

  ThreadPool& pool_;
  void (*route_rows_)(const RouteRows&);
  RouterShape shape_;
  Tiling tiling_;
  std::int64_t logits_stride_;
  bool balanced_, counted_;
  std::int64_t chunks_;
};

std::unique_ptr<Kernel> make_route(const Program& program, const Op& op, const Context& context) {
  const Route route(program, op, context);
  return make_kernel(route.workspace_bytes(), [route](const KernelArguments& arguments,
                                                      const Turn&) { route.run(arguments); });
}

std::unique_ptr<Kernel> make_route_backward(const Program& program, const Op& op,
                                            const Context& context) {
  const Tensor chosen = op.inputs[1], scores = op.inputs[2], balance_slope = op.inputs[4];
  const RouterShape shape = shape_of(program, op, chosen, scores);
  const Tiling tiling(program, op, scores, balance_slope);
  const std::int64_t d_logits_stride = program.row_stride(op.outputs[0]);
  const bool accumulate = op.attributes.flag("accumulate");
  const std::int64_t weight_slot = op.attributes.integer("weight_slot");
  const std::int64_t sequences_slot = op.attributes.integer("sequences_slot");
  const auto backward_rows = router_kernels(context.isa).backward_rows;
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn&) {
    const float* d_weights = arguments.input<float>(0);
    const std::int32_t* ids = arguments.input<std::int32_t>(3);
    const float* slope = arguments.input<float>(4);
    float slope_factor = 0;
    if (slope != nullptr) {
      const StepState& step = *arguments.step;
      // A region of the whole micro-batch stands for all its sequences.
      const double region_sequences =
          static_cast<double>(tiling.batch) / static_cast<double>(tiling.regions);
      slope_factor = static_cast<float>(step.slots[weight_slot] * step.loss_scale *
                                        region_sequences / step.slots[sequences_slot]);
    }
    pool.parallel_for(tiling.tiles(), [&](std::int64_t tile, int) {
      const std::int64_t first = tiling.first_token(tile);
      const std::int64_t region = tile / tiling.tiles_per_region();
      backward_rows(
          {.shape = shape,
           .rows = tiling.tokens(tile),
           .d_logits_stride = d_logits_stride,
           .d_weights = d_weights == nullptr ? nullptr : d_weights + first * shape.selected,
           .chosen = arguments.input<std::int32_t>(1) + first * shape.selected,
           .scores = arguments.input<float>(2) + first * shape.experts,
           .ids = ids == nullptr ? nullptr : ids + first,
           .slope = slope == nullptr ? nullptr : slope + region * shape.experts,
           .slope_factor = slope_factor,
           .d_logits = arguments.output<float>(0) + first * d_logits_stride,
           .accumulate = accumulate});
    });
  });
}

// A few hundred numbers: not worth waking a thread for.
std::unique_ptr<Kernel> make_bias_update(const Program&, const Op& op, const Context&) {
  const std::int64_t experts = op.outputs[1].columns;
  const std::int64_t rate_slot = op.attributes.integer("rate_slot");
  return make_kernel(0, [=](const KernelArguments& arguments, const Turn&) {
    const float* skip = arguments.input<float>(0);
    float* bias = arguments.output<float>(0);
    std::int32_t* load = arguments.output<std::int32_t>(1);
    std::int64_t sum = 0, most = 0;
    for (std::int64_t i = 0; i < experts; ++i) {
      sum += load[i];
      most = std::max<std::int64_t>(most, load[i]);
    }
    arguments.output<float>(2)[0] =
        sum == 0
            ? 0.0f
            : static_cast<float>(static_cast<double>(most * experts) / static_cast<double>(sum));
    const auto rate = static_cast<float>(arguments.step->slots[rate_slot]);
    const bool skipped = skip != nullptr && skip[0] != 0;
    for (std::int64_t i = 0; i < experts; ++i) {
      const std::int64_t short_of_mean = sum - experts * load[i];  // times experts: exact
      if (bias != nullptr && !skipped && short_of_mean != 0) {
        bias[i] += short_of_mean > 0 ? rate : -rate;
      }
      load[i] = 0;
    }
  });
}

}  // namespace

std::span<const KernelEntry> router_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"route", make_route},
                                             {"route_backward", make_route_backward},
                                             {"bias_update", make_bias_update}};
  return kEntries;
}

}  // namespace ingot::cpu

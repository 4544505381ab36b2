#include "ops/dispatch/dispatch_cpu.h"

#include <algorithm>
#include <cstring>

#include "ops/dispatch/dispatch_simd.h"

namespace ingot::cpu {
namespace {

std::int64_t tiles_of(std::int64_t count, std::int64_t tile) { return (count + tile - 1) / tile; }

// ---- dispatch: a counting sort, tiles of tokens in parallel
// --------------------------------------

constexpr std::int64_t kSortTokens = 128;

struct Sort {
  std::int64_t tokens, slots, experts;

  std::int64_t tiles() const { return tiles_of(tokens, kSortTokens); }
  std::int64_t first(std::int64_t tile) const { return tile * kSortTokens * slots; }
  std::int64_t last(std::int64_t tile) const {
    return std::min(tokens, (tile + 1) * kSortTokens) * slots;
  }
  // An expert outside [0, experts) belongs to another rank: the pair has no row here.
  bool here(std::int32_t expert) const { return expert >= 0 && expert < experts; }

  // counts [experts]: the pairs of each expert in a tile.
  void count(std::int64_t tile, const std::int32_t* chosen, std::int32_t* counts) const {
    std::fill_n(counts, experts, 0);
    for (std::int64_t i = first(tile); i < last(tile); ++i) {
      if (here(chosen[i])) ++counts[chosen[i]];
    }
  }

  // counts [tiles, experts] become the row at which each expert goes on in each tile.
  // next [experts] is scratch. One thread does it: whole lines are added, a number per 128 tokens.
  void place(std::int32_t* counts, std::int32_t* next, std::int32_t* offsets) const {
    std::fill_n(offsets, experts + 1, 0);
    for (std::int64_t tile = 0; tile < tiles(); ++tile) {
      for (std::int64_t e = 0; e < experts; ++e) offsets[e + 1] += counts[tile * experts + e];
    }
    for (std::int64_t e = 0; e < experts; ++e) offsets[e + 1] += offsets[e];
    std::copy_n(offsets, experts, next);
    for (std::int64_t tile = 0; tile < tiles(); ++tile) {
      for (std::int64_t e = 0; e < experts; ++e) {
        const std::int32_t count = counts[tile * experts + e];
        counts[tile * experts + e] = next[e];
        next[e] += count;
      }
    }
  }

  // next [experts]: the tile's line of place().
  void fill(std::int64_t tile, const std::int32_t* chosen, std::int32_t* next,
            std::int32_t* slot_of, std::int32_t* row_of) const {
    for (std::int64_t i = first(tile); i < last(tile); ++i) {
      row_of[i] = here(chosen[i]) ? next[chosen[i]]++ : -1;
      if (row_of[i] >= 0) slot_of[row_of[i]] = static_cast<std::int32_t>(i);
    }
  }
};

std::unique_ptr<Kernel> make_dispatch(const Program& program, const Op& op,
                                      const Context& context) {
  const Sort sort{.tokens = program.rows(op.inputs[0]),
                  .slots = op.inputs[0].columns,
                  .experts = op.outputs[0].columns - 1};
  const std::int64_t bytes = (sort.tiles() + 1) * sort.experts * 4;
  ThreadPool& pool = context.pool;
  return make_kernel(bytes, [=, &pool](const KernelArguments& arguments, const Turn&) {
    const std::int32_t* chosen = arguments.input<std::int32_t>(0);
    auto* counts = reinterpret_cast<std::int32_t*>(arguments.workspace.data());
    std::int32_t* next = counts + sort.tiles() * sort.experts;
    pool.parallel_for(sort.tiles(), [&](std::int64_t tile, int) {
      sort.count(tile, chosen, counts + tile * sort.experts);
    });
    sort.place(counts, next, arguments.output<std::int32_t>(0));
    pool.parallel_for(sort.tiles(), [&](std::int64_t tile, int) {
      sort.fill(tile, chosen, counts + tile * sort.experts, arguments.output<std::int32_t>(1),
                arguments.output<std::int32_t>(2));
    });
  });
}

// ---- rows there and back ----------------------------------------------------------------------

constexpr std::int64_t kTileElements = 65536;
constexpr std::int64_t kTilePairs = 4096;  // of weights: one number each

std::int64_t tile_rows(std::int64_t columns) {
  return std::max<std::int64_t>(1, kTileElements / columns);
}

std::unique_ptr<Kernel> make_permute(const Program& program, const Op& op, const Context& context) {
  const Tensor x = op.inputs[0], out = op.outputs[0];
  const DType dtype = program.dtype(x);
  const std::int64_t slots = op.attributes.integer("slots");
  const bool accumulate = op.attributes.flag("accumulate");
  const std::int64_t columns = x.columns, bytes = columns * size_of(dtype);
  const std::int64_t x_bytes = program.row_stride(x) * size_of(dtype);
  const std::int64_t out_bytes = program.row_stride(out) * size_of(dtype);
  const std::int64_t tile = tile_rows(columns);
  const auto add =
      accumulate ? dispatch_kernels(context.isa).add[static_cast<int>(dtype)] : nullptr;
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn&) {
    const std::int32_t* slot_of = arguments.input<std::int32_t>(1);
    const std::int64_t rows = arguments.input<std::int32_t>(2)[0];
    pool.parallel_for(tiles_of(rows, tile), [&](std::int64_t i, int) {
      const std::int64_t last = std::min(rows, (i + 1) * tile);
      for (std::int64_t row = i * tile; row < last; ++row) {
        const std::byte* from = arguments.inputs[0] + slot_of[row] / slots * x_bytes;
        std::byte* to = arguments.outputs[0] + row * out_bytes;
        if (accumulate) {
          add(from, to, columns);
        } else {
          std::memcpy(to, from, bytes);
        }
      }
    });
  });
}

std::unique_ptr<Kernel> make_permute_weights(const Program&, const Op&, const Context& context) {
  ThreadPool& pool = context.pool;
  return make_kernel(0, [&pool](const KernelArguments& arguments, const Turn&) {
    const float* weights = arguments.input<float>(0);
    const std::int32_t* slot_of = arguments.input<std::int32_t>(1);
    const std::int64_t rows = arguments.input<std::int32_t>(2)[0];
    float* row_weights = arguments.output<float>(0);
    pool.parallel_for(tiles_of(rows, kTilePairs), [&](std::int64_t tile, int) {
      const std::int64_t last = std::min(rows, (tile + 1) * kTilePairs);
      for (std::int64_t row = tile * kTilePairs; row < last; ++row) {
        row_weights[row] = weights[slot_of[row]];
      }
    });
  });
}

std::unique_ptr<Kernel> make_unpermute_weights(const Program& program, const Op& op,
                                               const Context& context) {
  const std::int64_t pairs = program.info(op.inputs[1]).shape.elements();
  const bool accumulate = op.attributes.flag("accumulate");
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn&) {
    const float* d_rows = arguments.input<float>(0);
    const std::int32_t* row_of = arguments.input<std::int32_t>(1);
    float* d_weights = arguments.output<float>(0);
    pool.parallel_for(tiles_of(pairs, kTilePairs), [&](std::int64_t tile, int) {
      const std::int64_t last = std::min(pairs, (tile + 1) * kTilePairs);
      for (std::int64_t pair = tile * kTilePairs; pair < last; ++pair) {
        const float d = row_of[pair] < 0 ? 0.0f : d_rows[row_of[pair]];
        d_weights[pair] = accumulate ? d_weights[pair] + d : d;
      }
    });
  });
}

}  // namespace

std::unique_ptr<Kernel> make_sum_rows(const Program& program, const Op& op,
                                      const Context& context) {
  const Tensor rows = op.inputs[0], row_of = op.inputs[1], base = op.inputs[2], y = op.outputs[0];
  const DType dtype = program.dtype(y);
  const SumRows all{.tokens = program.rows(y),
                    .slots = row_of.columns,
                    .columns = y.columns,
                    .rows_stride = program.row_stride(rows),
                    .base_stride = base ? program.row_stride(base) : 0,
                    .y_stride = program.row_stride(y)};
  const std::int64_t tile = tile_rows(all.columns * (all.slots + 1));
  const auto sum_rows = dispatch_kernels(context.isa).sum_rows[static_cast<int>(dtype)];
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn&) {
    pool.parallel_for(tiles_of(all.tokens, tile), [&](std::int64_t i, int) {
      const std::int64_t first = i * tile, bytes = size_of(dtype);
      SumRows task = all;
      task.tokens = std::min(tile, all.tokens - first);
      task.rows = arguments.inputs[0];
      task.row_of = arguments.input<std::int32_t>(1) + first * all.slots;
      if (arguments.inputs[2] != nullptr) {
        task.base = arguments.inputs[2] + first * all.base_stride * bytes;
      }
      task.y = arguments.outputs[0] + first * all.y_stride * bytes;
      sum_rows(task);
    });
  });
}

std::span<const KernelEntry> dispatch_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"dispatch", make_dispatch},
                                             {"permute", make_permute},
                                             {"sum_rows", make_sum_rows},
                                             {"permute_weights", make_permute_weights},
                                             {"unpermute_weights", make_unpermute_weights}};
  return kEntries;
}

}  // namespace ingot::cpu

// What kernels of updates share: a state's coders, and the walk over its groups.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "backends/cpu/thread_pool.h"
#include "engine/numbers/quantizer.h"
#include "ops/state_forms/state_draws.h"
#include "ops/state_forms/state_forms.h"
#include "ops/state_forms/state_forms_simd.h"

namespace ingot::cpu {

struct StateCoder {
  DecodeGroup decode;
  EncodeGroup encode;
};

enum class Rounding { nearest, stochastic };

// copy: dtype of an f32 state's copy for compute; f32 for none.
inline StateCoder state_coder(StateForm form, DType copy, Rounding rounding, Isa isa) {
  const StateKernels& kernels = state_kernels(isa);
  const int index = static_cast<int>(form);
  StateCoder coder{kernels.decode[index], rounding == Rounding::nearest
                                              ? kernels.encode[index]
                                              : kernels.encode_stochastic[index]};
  if (form == StateForm::f32 && copy == DType::bf16) coder.encode = kernels.encode_with_bf16;
  if (form == StateForm::f32 && copy == DType::f16) coder.encode = kernels.encode_with_f16;
  return coder;
}

// What one row of a state draws from.
struct RowDraws {
  std::uint64_t key;    // rounding_row_key()
  std::int64_t column;  // of the whole tensor, the row's first
};

// The rows' draws in one run of an op: asked for rows in rising order.
class Draws {
 public:
  // rows must live as long as this does; step: the update's number, or the step's.
  Draws(std::span<const DrawnRows> rows, std::uint64_t seed, std::int64_t step,
        std::int64_t micro_batch)
      : rows_(rows), seed_(seed), step_(step), micro_batch_(micro_batch) {}

  RowDraws operator()(std::int64_t row) {
    if (row >= end_) enter(row);
    return {rounding_row_key(key_, row + shift_), column_};
  }

 private:
  void enter(std::int64_t row) {
    const auto place = std::ranges::upper_bound(rows_, row, {}, &DrawnRows::end);
    const std::int64_t begin = place == rows_.begin() ? 0 : (place - 1)->end;
    end_ = place->end;
    key_ = rounding_key(seed_, step_, micro_batch_, place->stream);
    shift_ = place->row - begin;
    column_ = place->column;
  }

  std::span<const DrawnRows> rows_;
  std::uint64_t seed_;
  std::int64_t step_, micro_batch_;
  std::int64_t end_ = 0, shift_ = 0, column_ = 0;
  std::uint64_t key_ = 0;
};

// Calls each(group) for the groups [first, last) of a layout, draws(row) once for each of its rows.
template <class RowsDraws, class Each>
void for_groups(const StateLayout& layout, std::int64_t first, std::int64_t last, RowsDraws draws,
                const Each& each) {
  const std::int64_t per_row = layout.groups_per_row();
  for (std::int64_t group = first; group < last;) {
    const std::int64_t row = group / per_row, end = std::min(last, (row + 1) * per_row);
    const RowDraws of_row = draws(row);
    for (; group < end; ++group) {
      const std::int64_t column = (group - row * per_row) * kStateGroup;
      each(StateGroup{.element = row * layout.columns + column,
                      .group = group,
                      .column = of_row.column + column,
                      .count = static_cast<int>(std::min(kStateGroup, layout.columns - column)),
                      .row_key = of_row.key});
    }
  }
}

// Tiles of as many groups: a unit of work for a thread.
constexpr std::int64_t kTileGroups = 512;

// The same for all groups, on all threads. What each(group) does must not depend on the order.
template <class Each>
void for_all_groups(ThreadPool& pool, const StateLayout& layout, const Draws& draws,
                    const Each& each) {
  const std::int64_t groups = layout.groups();
  pool.parallel_for((groups + kTileGroups - 1) / kTileGroups, [&](std::int64_t tile, int) {
    for_groups(layout, tile * kTileGroups, std::min(groups, (tile + 1) * kTileGroups), draws, each);
  });
}

}  // namespace ingot::cpu

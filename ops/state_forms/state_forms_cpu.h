// What kernels of updates share: a state's coders, and the walk over its groups.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backends/cpu/thread_pool.h"
#include "engine/numbers/quantizer.h"
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

// Calls each(group) for the groups [first, last) of a layout. key: rounding_key().
template <class Each>
void for_groups(const StateLayout& layout, std::int64_t first, std::int64_t last, std::uint64_t key,
                const Each& each) {
  const std::int64_t per_row = layout.groups_per_row();
  for (std::int64_t group = first; group < last; ++group) {
    const std::int64_t row = group / per_row, column = group % per_row * kStateGroup;
    each(StateGroup{.element = row * layout.columns + column,
                    .group = group,
                    .column = column,
                    .count = static_cast<int>(std::min(kStateGroup, layout.columns - column)),
                    .row_key = rounding_row_key(key, row)});
  }
}

// Tiles of as many groups: a unit of work for a thread.
constexpr std::int64_t kTileGroups = 512;

// The same for all groups, on all threads. What each(group) does must not depend on the order.
template <class Each>
void for_all_groups(ThreadPool& pool, const StateLayout& layout, std::uint64_t key,
                    const Each& each) {
  const std::int64_t groups = layout.groups();
  pool.parallel_for((groups + kTileGroups - 1) / kTileGroups, [&](std::int64_t tile, int) {
    for_groups(layout, tile * kTileGroups, std::min(groups, (tile + 1) * kTileGroups), key, each);
  });
}

}  // namespace ingot::cpu

// What a plan chooses among and a record may name, each list from what the planner likes best on.
#pragma once

#include "engine/config/config.h"
#include "memory/passes/offload.h"

namespace ingot {

// Least offloaded first.
inline constexpr OffloadSet kOffloadSets[] = {OffloadSet::none, OffloadSet::states,
                                              OffloadSet::masters, OffloadSet::all};

// Most exact first.
inline constexpr OptimizerState kOptimizerStates[] = {OptimizerState::fp32, OptimizerState::bf16,
                                                      OptimizerState::int8};

}  // namespace ingot

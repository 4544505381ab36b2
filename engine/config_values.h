// Codecs of the run config's own value types. Internal to the config files.
#pragma once

#include "engine/config.h"
#include "engine/config_codec.h"

namespace ingot {

Codec<MemoryBudget> memory_budget();  // "auto", bytes, "12GiB", "75%"
Codec<StepValues> step_values(Range range);

}  // namespace ingot

// Codecs of the run config's own value types. Internal to the config files.
#pragma once

#include "engine/base/config_codec.h"
#include "engine/config/config.h"

namespace ingot {

Codec<MemoryBudget> memory_budget();  // "auto", bytes, "12GiB", "75%"
Codec<StepValues> step_values(Range range);

}  // namespace ingot

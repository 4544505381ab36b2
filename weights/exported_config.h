// The config.json of a model that goes out.
#pragma once

#include <string>

#include "engine/model/model_config.h"

namespace ingot {

// `model`, and every key of the config.json it came with (`original`, "" for none) that nothing is
// computed with, as it stood there. Throws Error(data) when that is not JSON; `where` names it.
std::string exported_config(const ModelConfig& model, const std::string& original,
                            const std::string& where);

}  // namespace ingot

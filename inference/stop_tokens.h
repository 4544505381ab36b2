// Which tokens end a text that a model writes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "data/tokenizer/tokenizer.h"
#include "engine/model/model_config.h"
#include "io/companion_files.h"

namespace ingot {

// Those of generation_config.json, if it names any; else those of the model's config; else the
// tokenizer's own end token, if it has one. As in transformers, but that a generation_config.json
// without any leaves it to the others. Throws Error(data) when that file is malformed; `where`
// names its folder.
std::vector<std::int64_t> stop_tokens(const CompanionFiles& files, const ModelConfig& model,
                                      const Tokenizer& tokenizer,
                                      const std::filesystem::path& where);

}  // namespace ingot

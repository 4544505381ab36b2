// Compares this implementation with a reference run of a Hugging Face model
// (tests/golden/README.md): logits, loss, hidden states, every gradient, 20 AdamW steps, and greedy
// text.
#pragma once

#include <filesystem>

#include "engine/config/config.h"
#include "engine/execution/backend.h"
#include "tools/verify/verify_report.h"

namespace ingot {

// Throws Error(data) when the folder or the reference can't be read or don't fit together.
VerifyReport verify(const std::filesystem::path& model_folder, const std::filesystem::path& golden,
                    ComputeType compute, Backend& backend);

}  // namespace ingot

// Between Hugging Face folders and checkpoints, a piece at a time.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/numbers/dtype.h"
#include "weights/model_source.h"

namespace ingot {

// HF_DIR -> a checkpoint of step 0 in `directory`, tensor by tensor. Returns tensors left out.
std::vector<std::string> import_model(const std::filesystem::path& model_folder,
                                      const std::filesystem::path& directory);

// A checkpoint -> a Hugging Face folder, in `dtype`, or in that of the model's config: what was
// imported goes out as it came, what was trained from a config without one in bf16.
void export_model(const std::filesystem::path& checkpoint, const std::filesystem::path& folder,
                  std::optional<DType> dtype = {}, const OnDamaged& on_damaged = {});

}  // namespace ingot

// Where a model's weights are, and what is known of it there.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "engine/config/config.h"
#include "io/checkpoint_files.h"

namespace ingot {

// Where weights come from: a checkpoint (step_XXXXXXXX), a run's directory (its newest good
// checkpoint), or a Hugging Face folder.
struct ModelSource {
  std::filesystem::path folder;  // that holds the weights
  bool hugging_face = false;
  RunConfig config;  // model and precision, and what else the source tells
  // The checkpoint, open and read to the last byte; none of a Hugging Face folder.
  std::shared_ptr<const CheckpointReader> checkpoint;
};

// The type a model without a run config is computed in: fp32 for fp32 weights, else bf16.
ComputeType inference_compute(const ModelConfig& model);

// Gets a line for each damaged checkpoint that was passed over.
using OnDamaged = std::function<void(const std::string& line)>;

// Throws Error(data) when there is no model at `path`.
ModelSource find_model(const std::filesystem::path& path, const OnDamaged& on_damaged = {});

}  // namespace ingot

// A trained model without its training: loaded from a checkpoint or a Hugging Face folder, to
// evaluate or to generate.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "data/tokenizer/tokenizer.h"
#include "engine/config/config.h"
#include "engine/execution/backend.h"
#include "engine/execution/executor.h"
#include "inference/loss_sum.h"
#include "layers/generation.h"
#include "layers/model.h"

namespace ingot {

// Where weights come from: a checkpoint (step_XXXXXXXX), a run's directory (its newest good
// checkpoint), or a Hugging Face folder.
struct ModelSource {
  std::filesystem::path folder;  // that holds the weights
  bool hugging_face = false;
  RunConfig config;  // model and precision, and what else the source tells
};
// The type a model without a run config is computed in: fp32 for fp32 weights, else bf16.
ComputeType inference_compute(const ModelConfig& model);

// Gets a line for each damaged checkpoint that was passed over.
using OnDamaged = std::function<void(const std::string& line)>;

// Throws Error(data) when there is no model at `path`.
ModelSource find_model(const std::filesystem::path& path, const OnDamaged& on_damaged = {});

struct InferenceOptions {
  std::int64_t batch = 0, sequence = 0;  // of the evaluation part; 0: none
  // Generation. texts: written at once; capacity: most tokens of a text, its prompt included, 0: no
  // generation; prompt: tokens of the longest prompt, as far as is known.
  std::int64_t texts = 1, capacity = 0, prompt = 0;
  bool int8_weights = false;  // compress/passes/int8_weights.h; for generation alone
};

// Chunk and capacity for them.
GenerationOptions generation_options(const InferenceOptions& options, DType dtype);

class InferenceModel {
 public:
  InferenceModel(const ModelSource& source, const InferenceOptions& options, Backend& backend);

  // One batch [batch, sequence].
  LossSum evaluate(std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets);

  Executor& executor() { return *executor_; }
  const GenerationParts& generation() const { return *generation_; }
  const ModelConfig& config() const { return config_; }

 private:
  ModelConfig config_;
  Program program_;
  ModelInputs inputs_;
  ModelLosses losses_;
  std::optional<GenerationParts> generation_;
  std::unique_ptr<Executor> executor_;
};

// tokenizer.json beside the weights, or `given` when that is not empty. Throws Error(data).
Tokenizer source_tokenizer(const ModelSource& source, const std::string& given);

// HF_DIR -> a checkpoint of step 0 in `directory`, tensor by tensor. Returns tensors left out.
std::vector<std::string> import_model(const std::filesystem::path& model_folder,
                                      const std::filesystem::path& directory);

// A checkpoint -> a Hugging Face folder, in `dtype`, or in that of the model's config: what was
// imported goes out as it came, what was trained from a config without one in bf16.
void export_model(const std::filesystem::path& checkpoint, const std::filesystem::path& folder,
                  std::optional<DType> dtype = {}, const OnDamaged& on_damaged = {});

}  // namespace ingot

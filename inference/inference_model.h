// A trained model without its training: loaded from a checkpoint or a Hugging Face folder, to
// evaluate or to generate.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/execution/backend.h"
#include "engine/execution/executor.h"
#include "inference/loss_sum.h"
#include "layers/generation.h"
#include "layers/model.h"
#include "weights/model_source.h"

namespace ingot {

struct InferenceOptions {
  std::int64_t batch = 0, sequence = 0;  // of the evaluation part; 0: none
  // Generation. texts: written at once; prompts: that they go on from, 0: one each; capacity: most
  // tokens of a text, its prompt included, 0: no generation; prompt: tokens of the longest prompt,
  // as far as is known.
  std::int64_t texts = 1, prompts = 0, capacity = 0, prompt = 0;
  bool int8_weights = false;  // compress/passes/int8_weights.h; for generation alone
  bool keep_logits = false;   // for Generator::logits()
};

// Chunk and capacity for them.
GenerationOptions generation_options(const InferenceOptions& options, DType dtype);

class InferenceModel {
 public:
  // Throws Error(budget) before anything is loaded where it takes more memory than this machine or
  // control group has left.
  InferenceModel(const ModelSource& source, const InferenceOptions& options, Backend& backend);
  InferenceModel(const InferenceModel&) = delete;  // the executor refers to the program
  InferenceModel& operator=(const InferenceModel&) = delete;

  // One batch [batch, sequence].
  LossSum evaluate(std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets);

  // Tensors of a Hugging Face folder that the model has no use for; MTP modules, which neither
  // evaluation nor generation computes, are not counted.
  const std::vector<std::string>& unused_tensors() const { return unused_tensors_; }

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
  std::vector<std::string> unused_tensors_;
};

}  // namespace ingot

// The tokenizer of a run, where there is one: checked against the data, copied into checkpoints,
// and what the samples of text are written with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "data/tokenizer/tokenizer.h"
#include "engine/config/config.h"
#include "training/steps/training_engine.h"

namespace ingot {

class RunTokenizer {
 public:
  // config.data.tokenizer, else tokenizer.json beside the training data. Throws Error(data) when it
  // is not the one with `data_hash`, which made the data, or when samples are wanted and there is
  // none.
  RunTokenizer(const RunConfig& config, std::uint64_t data_hash);

  // The file's text; empty: there is none.
  const std::string& json() const { return json_; }

  // What the model of that step makes of the config's prompt, the prompt included.
  std::string sample(TrainingEngine& engine, const RunConfig& config, std::int64_t step) const;

 private:
  std::optional<Tokenizer> tokenizer_;
  std::string json_;
};

}  // namespace ingot

// The tokenizer of a run, where there is one, and the other files that go with its model: checked
// against the data, copied into checkpoints, and what the samples of text are written with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "data/tokenizer/tokenizer.h"
#include "engine/config/config.h"
#include "io/checkpoint_files.h"
#include "io/companion_files.h"
#include "training/steps/training_engine.h"

namespace ingot {

class RunTokenizer {
 public:
  // `found`: what the run goes on from; its files go on with it, the tokenizer among them. What it
  // lacks, and all of a fresh run, is the model's config.json and of the tokenizer at
  // config.data.tokenizer, or beside the training data. Throws Error(data) when that is not the one
  // with `data_hash`, which made the data, or when samples are wanted and there is none.
  RunTokenizer(const RunConfig& config, const CheckpointReader* found, std::uint64_t data_hash);

  // What every checkpoint holds besides tensors.
  const CompanionFiles& files() const { return files_; }
  // nullptr: there is none.
  const Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }

  // Throws Error(usage) when the config's prompt does not leave room for a token in a cache of
  // `capacity`. Returns a warning when samples go beyond the positions of the model, else "".
  std::string check_sample(const RunConfig& config, std::int64_t capacity) const;

  // What the model of that step makes of the config's prompt, the prompt included. It begins and
  // ends as `ingot generate` would.
  std::string sample(TrainingEngine& engine, const RunConfig& config, std::int64_t step) const;

 private:
  std::vector<std::int32_t> prompt(const RunConfig& config) const;

  CompanionFiles files_;
  std::filesystem::path where_;  // of the tokenizer
  std::optional<Tokenizer> tokenizer_;
};

}  // namespace ingot

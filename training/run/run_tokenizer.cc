#include "training/run/run_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/read_text.h"
#include "inference/generator.h"
#include "inference/stop_tokens.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLargestConfig = 16 << 20;

fs::path tokenizer_path(const RunConfig& config) {
  if (!config.data.tokenizer.empty()) return config.data.tokenizer;
  return fs::path(config.data.train.front()).parent_path() / kTokenizerFile;
}

// The tokenizer's files at its path; those beside it are its own if it has the usual name.
CompanionFiles files_at(const fs::path& path) {
  if (!fs::exists(path)) return {};
  if (path.filename() == kTokenizerFile) return read_tokenizer_companions(path.parent_path());
  return {{kTokenizerFile, read_text(path, ErrorCode::data, kMaxTokenizerFileBytes)}};
}

}  // namespace

RunTokenizer::RunTokenizer(const RunConfig& config, const CheckpointReader* found,
                           std::uint64_t data_hash) {
  const fs::path path = tokenizer_path(config);
  if (found) files_ = read_companions(found->path());
  if (!config.model_path.empty() && !files_.contains(kConfigFile)) {
    files_[kConfigFile] = read_text(config.model_path, ErrorCode::usage, kLargestConfig);
  }
  const bool is_given = !config.data.tokenizer.empty();
  where_ = path.parent_path();
  if (!is_given && files_.contains(kTokenizerFile)) {
    where_ = found->path();
  } else {
    CompanionFiles others = files_at(path);
    if (is_given) {
      for (auto& [name, text] : others) files_.insert_or_assign(name, std::move(text));
    } else {
      files_.merge(others);
    }
  }
  if (files_.contains(kTokenizerFile)) {
    const bool has_other_name = is_given && path.filename() != kTokenizerFile;
    tokenizer_ = has_other_name ? Tokenizer::load(path) : Tokenizer::of(files_, where_);
    if (tokenizer_->hash() != data_hash) {
      throw Error(ErrorCode::data, "the tokenizer is not the one that made the training data",
                  (has_other_name ? path : where_ / kTokenizerFile).string(),
                  "set data.tokenizer, or prepare the data again");
    }
  } else if (config.log.sample_every > 0) {
    throw Error(ErrorCode::data, "samples need a tokenizer, and there is none", path.string(),
                "set data.tokenizer, or log.sample_every to 0");
  }
}

std::vector<std::int32_t> RunTokenizer::prompt(const RunConfig& config) const {
  const std::vector<std::uint32_t> prompt = tokenizer_->encode_prompt(config.log.sample_prompt);
  std::vector<std::int32_t> ids(prompt.begin(), prompt.end());
  const auto& ends = config.model.eos_token_ids;
  if (ids.empty()) ids.push_back(ends.empty() ? 0 : static_cast<std::int32_t>(ends.front()));
  return ids;
}

std::string RunTokenizer::check_sample(const RunConfig& config, std::int64_t capacity) const {
  const std::int64_t tokens = std::ssize(prompt(config));
  if (tokens >= capacity) {
    throw Error(ErrorCode::usage,
                "log.sample_prompt has " + std::to_string(tokens) + " tokens, it may have " +
                    std::to_string(capacity - 1),
                "log.sample_prompt", "shorten it");
  }
  const std::int64_t longest = std::min(tokens + config.log.sample_tokens, capacity);
  if (longest <= config.model.max_position_embeddings) return "";
  return "warning: samples get up to " + std::to_string(longest) +
         " tokens with their prompt, the model has max_position_embeddings " +
         std::to_string(config.model.max_position_embeddings);
}

std::string RunTokenizer::sample(TrainingEngine& engine, const RunConfig& config,
                                 std::int64_t step) const {
  const std::vector<std::int32_t> ids = prompt(config);
  Generator generator(engine.executor(), *engine.compiled().generation, config.model.vocab_size);
  const SamplingOptions sampling{
      .temperature = 0.8, .top_p = 0.95, .seed = static_cast<std::uint64_t>(config.seed + step)};
  StreamDecoder decoder(*tokenizer_);
  std::string text = config.log.sample_prompt;
  generate(generator, ids, config.log.sample_tokens, sampling,
           stop_tokens(files_, config.model, *tokenizer_, where_), [&](std::int32_t token) {
             if (token >= static_cast<std::int32_t>(tokenizer_->vocabulary_size())) return true;
             text += decoder.push(static_cast<std::uint32_t>(token));
             return true;
           });
  return text + decoder.finish();
}

}  // namespace ingot

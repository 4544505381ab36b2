#include "training/run/run_tokenizer.h"

#include <filesystem>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/read_text.h"
#include "inference/generator.h"

namespace ingot {
namespace {

std::filesystem::path tokenizer_path(const RunConfig& config) {
  if (!config.data.tokenizer.empty()) return config.data.tokenizer;
  return std::filesystem::path(config.data.train.front()).parent_path() / "tokenizer.json";
}

}  // namespace

RunTokenizer::RunTokenizer(const RunConfig& config, std::uint64_t data_hash) {
  const std::filesystem::path path = tokenizer_path(config);
  if (std::filesystem::exists(path)) {
    json_ = read_text(path, ErrorCode::data, kMaxTokenizerFileBytes);
    tokenizer_ = Tokenizer::parse(json_, path.string());
    if (tokenizer_->hash() != data_hash) {
      throw Error(ErrorCode::data, "the tokenizer is not the one that made the training data",
                  path.string(), "set data.tokenizer, or prepare the data again");
    }
  } else if (config.log.sample_every > 0) {
    throw Error(ErrorCode::data, "samples need a tokenizer, and there is none", path.string(),
                "set data.tokenizer, or log.sample_every to 0");
  }
}

std::string RunTokenizer::sample(TrainingEngine& engine, const RunConfig& config,
                                 std::int64_t step) const {
  const std::vector<std::uint32_t> prompt = tokenizer_->encode(config.log.sample_prompt);
  std::vector<std::int32_t> ids(prompt.begin(), prompt.end());
  if (ids.empty()) ids.push_back(0);
  Generator generator(engine.executor(), *engine.compiled().generation, config.model.vocab_size);
  const SamplingOptions sampling{
      .temperature = 0.8, .top_p = 0.95, .seed = static_cast<std::uint64_t>(config.seed + step)};
  StreamDecoder decoder(*tokenizer_);
  std::string text = config.log.sample_prompt;
  generate(generator, ids, config.log.sample_tokens, sampling, config.model.eos_token_ids,
           [&](std::int32_t token) {
             if (token >= static_cast<std::int32_t>(tokenizer_->vocabulary_size())) return true;
             text += decoder.push(static_cast<std::uint32_t>(token));
             return true;
           });
  return text + decoder.finish();
}

}  // namespace ingot

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/generator.h"
#include "engine/inference.h"
#include "tools/command.h"
#include "tools/flag_checks.h"

namespace ingot {
namespace {

struct Flags {
  std::string checkpoint, prompt, tokenizer;
  std::int64_t max_tokens = 128;
  SamplingOptions sampling;
};

int generate_text(const Flags& flags) {
  const ModelSource source = find_model(flags.checkpoint);
  const Tokenizer tokenizer = source_tokenizer(source, flags.tokenizer);
  const std::int64_t vocabulary = source.config.model.vocab_size;
  std::vector<std::int32_t> prompt;
  for (const std::uint32_t id : tokenizer.encode(flags.prompt)) {
    if (id >= static_cast<std::uint64_t>(vocabulary)) {
      throw Error(ErrorCode::data, "the tokenizer has more tokens than the model", "tokenizer",
                  "use the tokenizer the model was trained with");
    }
    prompt.push_back(static_cast<std::int32_t>(id));
  }
  if (prompt.empty()) {
    throw Error(ErrorCode::usage, "the prompt is empty", "--prompt",
                "give some text to go on from");
  }
  const auto backend = make_backend(Device::cpu, thread_count(0));
  InferenceModel model(
      source, {.capacity = static_cast<std::int64_t>(prompt.size()) + flags.max_tokens + 1},
      *backend);
  std::vector<std::int64_t> stop = source.config.model.eos_token_ids;
  if (const auto end = tokenizer.token_id("<|endoftext|>")) stop.push_back(*end);

  Generator generator(model.executor(), model.generation(), vocabulary);
  Sampler sampler(flags.sampling, vocabulary);
  StreamDecoder decoder(tokenizer);
  std::fputs(flags.prompt.c_str(), stdout);
  std::fflush(stdout);
  generate(generator, prompt, flags.max_tokens, sampler, stop, [&](std::int32_t token) {
    // Ids above the tokenizer's are padding of the model's vocabulary: they have no text.
    if (token < static_cast<std::int32_t>(tokenizer.vocabulary_size())) {
      std::fputs(decoder.push(static_cast<std::uint32_t>(token)).c_str(), stdout);
      std::fflush(stdout);
    }
    return true;
  });
  std::puts(decoder.finish().c_str());
  return 0;
}

}  // namespace

void add_generate(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* generate = app.add_subcommand("generate", "Write text with a model");
  generate
      ->add_option("--checkpoint", flags->checkpoint,
                   "Checkpoint, run directory or Hugging Face folder")
      ->required();
  generate->add_option("--prompt", flags->prompt, "Text to go on from")->required();
  generate->add_option("--tokenizer", flags->tokenizer, "Default: the checkpoint's own");
  generate->add_option("--max-tokens", flags->max_tokens, "Most tokens to write")
      ->check(count_from(1))
      ->capture_default_str();
  generate->add_option("--temperature", flags->sampling.temperature, "0: the likeliest token")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  generate->add_option("--top-p", flags->sampling.top_p, "Smallest set of this probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  generate->add_option("--top-k", flags->sampling.top_k, "The k likeliest tokens; 0: all")
      ->check(count_from(0));
  generate->add_option("--seed", flags->sampling.seed, "Of the random choice");
  generate->callback([&command, flags] { command = [flags] { return generate_text(*flags); }; });
}

}  // namespace ingot

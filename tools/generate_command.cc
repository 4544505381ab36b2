#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "inference/generator.h"
#include "inference/inference_model.h"
#include "inference/stop_tokens.h"
#include "io/companion_files.h"
#include "tools/command.h"
#include "tools/flag_checks.h"
#include "tools/unused_tensors.h"

namespace ingot {
namespace {

struct Flags {
  std::string checkpoint, tokenizer;
  std::vector<std::string> prompts;
  std::int64_t samples = 1, max_tokens = 128;
  SamplingOptions sampling;
  bool int8 = false, as_it_stands = false;
  std::optional<Device> device;
};

std::vector<std::int32_t> prompt_ids(const Tokenizer& tokenizer, const Flags& flags,
                                     const std::string& text, std::int64_t vocabulary) {
  std::vector<std::int32_t> prompt;
  for (const std::uint32_t id :
       flags.as_it_stands ? tokenizer.encode(text) : tokenizer.encode_prompt(text)) {
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
  return prompt;
}

// Prints one text as its tokens come; several one after the other, each when those before are done.
class Printer {
 public:
  Printer(const Flags& flags, const Tokenizer& tokenizer)
      : flags_(flags), tokenizer_(tokenizer), texts_(flags.prompts.size() * flags.samples) {
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      decoders_.emplace_back(tokenizer);
      texts_[i] = several() ? heading(i) + prompt_of(i) : prompt_of(i);
    }
    if (!several()) flush(0);
  }

  void push(std::size_t text, std::int32_t token) {
    // Ids above the tokenizer's are padding of the model's vocabulary: they have no text.
    if (token >= static_cast<std::int32_t>(tokenizer_.vocabulary_size())) return;
    texts_[text] += decoders_[text].push(static_cast<std::uint32_t>(token));
    if (!several()) flush(0);
  }

  void finish() {
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      texts_[i] += decoders_[i].finish() + "\n";
      flush(i);
    }
  }

 private:
  bool several() const { return texts_.size() > 1; }
  const std::string& prompt_of(std::size_t text) const {
    return flags_.prompts[text / static_cast<std::size_t>(flags_.samples)];
  }
  std::string heading(std::size_t text) const {
    const auto samples = static_cast<std::size_t>(flags_.samples);
    return "--- prompt " + std::to_string(text / samples + 1) + ", sample " +
           std::to_string(text % samples + 1) + "\n";
  }
  void flush(std::size_t text) {
    std::fwrite(texts_[text].data(), 1, texts_[text].size(), stdout);
    std::fflush(stdout);
    texts_[text].clear();
  }

  const Flags& flags_;
  const Tokenizer& tokenizer_;
  std::vector<StreamDecoder> decoders_;
  std::vector<std::string> texts_;  // not printed yet
};

int generate_text(const Flags& flags) {
  const ModelSource source = find_model(flags.checkpoint, warn);
  const CompanionFiles files = read_companions(source.folder);
  const Tokenizer tokenizer = flags.tokenizer.empty() ? Tokenizer::of(files, source.folder)
                                                      : Tokenizer::load(flags.tokenizer);
  const std::int64_t vocabulary = source.config.model.vocab_size;
  std::vector<std::vector<std::int32_t>> prompts;
  std::int64_t longest = 0;
  for (const std::string& text : flags.prompts) {
    prompts.insert(prompts.end(), flags.samples, prompt_ids(tokenizer, flags, text, vocabulary));
    longest = std::max<std::int64_t>(longest, std::ssize(prompts.back()));
  }
  const auto backend = make_backend(flags.device.value_or(source.config.device), thread_count(0));
  InferenceModel model(source,
                       {.texts = std::ssize(prompts),
                        .capacity = longest + flags.max_tokens + 1,
                        .prompt = longest,
                        .int8_weights = flags.int8},
                       *backend);
  warn_of_unused(model.unused_tensors());
  const std::vector<std::int64_t> stop =
      stop_tokens(files, source.config.model, tokenizer, source.folder);

  Generator generator(model.executor(), model.generation(), vocabulary);
  Printer printer(flags, tokenizer);
  generate(generator, prompts, flags.max_tokens, flags.sampling, stop,
           [&](std::size_t text, std::int32_t token) {
             printer.push(text, token);
             return true;
           });
  printer.finish();
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
  generate
      ->add_option("--prompt", flags->prompts,
                   "Text to go on from; given again: one more, written at the same time")
      ->required()
      ->allow_extra_args(false);
  generate->add_flag("--as-it-stands", flags->as_it_stands,
                     "No token before the prompt, whatever the tokenizer begins texts with");
  generate->add_option("--samples", flags->samples, "Texts to write for each prompt, all at once")
      ->check(integer_between(1, 1024))
      ->capture_default_str();
  generate->add_option("--tokenizer", flags->tokenizer, "Default: the checkpoint's own");
  generate->add_option("--max-tokens", flags->max_tokens, "Most tokens to write")
      ->check(count_from(1))
      ->capture_default_str();
  generate->add_option("--temperature", flags->sampling.temperature, "0: the likeliest token")
      ->check(number_between(0, 1e6))
      ->capture_default_str();
  generate->add_option("--top-p", flags->sampling.top_p, "Smallest set of this probability")
      ->check(number_between(0, 1))
      ->capture_default_str();
  generate->add_option("--top-k", flags->sampling.top_k, "The k likeliest tokens; 0: all")
      ->check(count_from(0));
  generate->add_option("--seed", flags->sampling.seed, "Of the random choice");
  generate->add_flag("--int8", flags->int8,
                     "Weights and products in 8 bits: half the memory, faster, a little coarser");
  add_device_flag(*generate, flags->device);
  generate->callback([&command, flags] { command = [flags] { return generate_text(*flags); }; });
}

}  // namespace ingot

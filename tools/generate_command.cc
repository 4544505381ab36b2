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
  std::vector<const CLI::Option*> of_sampling;
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

// Prints one text as its tokens come; several one after the other, each when it and those before
// are done. Texts are numbered over all: the samples of the first prompt, those of the second.
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

  void finish(std::int64_t first, std::int64_t count) {
    for (std::int64_t i = first; i < first + count; ++i) {
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

struct Prompts {
  std::vector<std::vector<std::int32_t>> ids;
  std::int64_t longest = 0;
};

Prompts read_prompts(const Flags& flags, const Tokenizer& tokenizer, std::int64_t vocabulary) {
  Prompts prompts;
  for (const std::string& text : flags.prompts) {
    prompts.ids.push_back(prompt_ids(tokenizer, flags, text, vocabulary));
    prompts.longest = std::max<std::int64_t>(prompts.longest, std::ssize(prompts.ids.back()));
  }
  return prompts;
}

// Flags that the others keep from having an effect, and texts that leave what the model was made
// for.
void warn_of_flags(const Flags& flags, const ModelConfig& model, std::int64_t longest) {
  if (flags.sampling.temperature == 0) {
    std::string idle;
    for (const CLI::Option* const option : flags.of_sampling) {
      if (option->count() > 0) idle += (idle.empty() ? "" : ", ") + option->get_name();
    }
    if (!idle.empty()) {
      warn(idle + ": no effect without --temperature, the likeliest token is taken");
    }
    if (flags.samples > 1) warn("--samples without --temperature are all the same text");
  }
  const std::int64_t positions = model.max_position_embeddings;
  if (longest >= positions) {
    warn("the prompt has " + std::to_string(longest) + " tokens, the model was made for " +
         std::to_string(positions) + " (max_position_embeddings): what comes may make no sense");
  } else if (longest + flags.max_tokens > positions) {
    warn("prompt and --max-tokens are up to " + std::to_string(longest + flags.max_tokens) +
         " tokens, the model was made for " + std::to_string(positions) +
         " (max_position_embeddings): what comes behind them may make no sense");
  }
}

// A model for as many of `wanted` texts at a time as there is memory for: the half, the quarter...
std::unique_ptr<InferenceModel> load_model(const ModelSource& source, const Flags& flags,
                                           std::int64_t wanted, std::int64_t longest,
                                           std::int64_t& texts, Backend& backend) {
  for (texts = wanted;; texts = (texts + 1) / 2) {
    try {
      return std::make_unique<InferenceModel>(
          source,
          InferenceOptions{.texts = texts,
                           .prompts = std::min(texts, std::ssize(flags.prompts)),
                           .capacity = longest + flags.max_tokens + 1,
                           .prompt = longest,
                           .int8_weights = flags.int8},
          backend);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::budget || texts == 1) throw;
    }
  }
}

int generate_text(const Flags& flags) {
  const ModelSource source = find_model(flags.checkpoint, warn);
  const CompanionFiles files = read_companions(source.folder);
  const Tokenizer tokenizer = flags.tokenizer.empty() ? Tokenizer::of(files, source.folder)
                                                      : Tokenizer::load(flags.tokenizer);
  const std::int64_t vocabulary = source.config.model.vocab_size;
  const Prompts prompts = read_prompts(flags, tokenizer, vocabulary);
  warn_of_flags(flags, source.config.model, prompts.longest);
  const auto backend = make_backend(flags.device.value_or(source.config.device), thread_count(0));
  const std::int64_t all = std::ssize(prompts.ids) * flags.samples;
  std::int64_t at_a_time = 0;
  const auto model = load_model(source, flags, all, prompts.longest, at_a_time, *backend);
  warn_of_unused(model->unused_tensors());
  const std::vector<std::int64_t> stop =
      stop_tokens(files, source.config.model, tokenizer, source.folder);

  Generator generator(model->executor(), model->generation(), vocabulary);
  Printer printer(flags, tokenizer);
  SamplingOptions sampling = flags.sampling;
  for (std::int64_t first = 0; first < all; first += at_a_time) {
    const std::int64_t count = std::min(at_a_time, all - first);
    const std::int64_t first_prompt = first / flags.samples;
    std::vector<std::int64_t> prompt_of;
    for (std::int64_t i = first; i < first + count; ++i) {
      prompt_of.push_back(i / flags.samples - first_prompt);
    }
    sampling.first_text = static_cast<std::uint64_t>(first);
    generate(
        generator, std::span(prompts.ids).subspan(first_prompt, prompt_of.back() + 1),
        flags.max_tokens, sampling, stop,
        [&](std::size_t text, std::int32_t token) {
          printer.push(first + text, token);
          return true;
        },
        prompt_of);
    printer.finish(first, count);
  }
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
  flags->of_sampling = {
      generate->add_option("--top-p", flags->sampling.top_p, "Smallest set of this probability")
          ->check(number_between(0, 1))
          ->capture_default_str(),
      generate->add_option("--top-k", flags->sampling.top_k, "The k likeliest tokens; 0: all")
          ->check(count_from(0)),
      generate->add_option("--seed", flags->sampling.seed, "Of the random choice")};
  generate->add_flag("--int8", flags->int8,
                     "Weights and products in 8 bits: half the memory, faster, a little coarser");
  add_device_flag(*generate, flags->device);
  generate->callback([&command, flags] { command = [flags] { return generate_text(*flags); }; });
}

}  // namespace ingot

#include "data/prepare/prepare.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "backends/cpu/thread_pool.h"
#include "tools/command.h"

namespace ingot {

void add_prepare(CLI::App& app, Command& command) {
  const auto options = std::make_shared<PrepareOptions>();
  const auto end_of_text = std::make_shared<std::string>();
  CLI::App* prepare = app.add_subcommand("prepare", "Turn text into token shards");
  prepare->add_option("--input", options->inputs, "Files and folders of text or JSON lines")
      ->required();
  prepare->add_option("--tokenizer", options->tokenizer, "A tokenizer.json, or: train")->required();
  CLI::Option* vocabulary =
      prepare->add_option("--vocab", options->vocabulary_size, "Vocabulary of a trained tokenizer");
  prepare->add_option("--output", options->output, "Folder for the shards")->required();
  prepare->add_option("--field", options->field, "Field of JSON objects")->capture_default_str();
  prepare->add_flag("--begin-of-text", options->begin_of_text,
                    "Begin each document as the tokenizer begins a text (its post_processor)");
  prepare->add_option("--eos", *end_of_text, "Token that ends each document");
  prepare->add_option("--validation", options->validation, "Part kept for validation")
      ->capture_default_str();
  prepare->add_option("--shard-tokens", options->shard_tokens, "Most tokens in one shard")
      ->capture_default_str();
  options->threads = 0;
  prepare->add_option("--threads", options->threads, "0: all that the process may use");
  prepare->add_flag("--overwrite", options->overwrite, "Replace what other settings made");
  prepare->callback([&command, options, end_of_text, vocabulary] {
    command = [options, end_of_text, vocabulary] {
      if (vocabulary->count() > 0 && options->tokenizer != "train") {
        warn("--vocab has no effect without --tokenizer train");
      }
      if (!end_of_text->empty()) options->end_of_text = *end_of_text;
      if (options->threads == 0) options->threads = cpu::default_threads();
      std::puts(summary_of(ingot::prepare(*options)).c_str());
      return 0;
    };
  });
}

}  // namespace ingot

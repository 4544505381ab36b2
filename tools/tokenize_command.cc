#include "data/prepare/tokenize_command.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "tools/command.h"

namespace ingot {

void add_tokenize(CLI::App& app, Command& command) {
  const auto options = std::make_shared<TokenizeOptions>();
  const auto input = std::make_shared<std::string>();
  const auto text = std::make_shared<std::string>();
  CLI::App* tokenize = app.add_subcommand("tokenize", "Text to token ids, or back");
  tokenize->add_option("--tokenizer", options->tokenizer, "tokenizer.json")->required();
  CLI::Option* from_file = tokenize->add_option("--input", *input, "A file; JSON lines one by one");
  CLI::Option* from_text = tokenize->add_option("--text", *text, "The text itself");
  from_text->excludes(from_file);
  CLI::Option* field = tokenize->add_option("--field", options->field, "Field of .jsonl lines")
                           ->capture_default_str();
  tokenize->add_flag("--decode", options->decode, "Ids to text");
  tokenize->add_flag("--special", options->special,
                     "With the tokens that the tokenizer puts around a text");
  tokenize->add_flag("--json", options->json, "Print JSON");
  tokenize->callback([&command, options, input, text, from_file, from_text, field] {
    if (from_file->count() > 0) options->input = *input;
    if (from_text->count() > 0) options->text = *text;
    command = [options, field, from_text] {
      if (field->count() > 0 && from_text->count() > 0) warn("--field has no effect with --text");
      if (options->decode && options->special) warn("--special has no effect with --decode");
      return tokenize_command(*options, std::cout);
    };
  });
}

}  // namespace ingot

// What `ingot tokenize` does: text to ids, or back.
//
//   input            ids                                   --decode
//   --text T         "1 2 3\n"; --json: {"ids": [1, 2, 3]}   the text's bytes, nothing added;
//   --json: {"text": "..."}
//   --input FILE     the same, for the whole file            the same
//   --input X.jsonl  each line's text: {"ids": [...]}\n      each line's ids: {"text": "..."}\n
//
// What a file holds is told as `ingot prepare` tells it (data/prepare/text_source.h). A line of a
// .jsonl is an object with the field below, or the bare value. Ids to decode are numbers with
// spaces, commas or newlines between, or JSON: a list, or an object with "ids".
#pragma once

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>

namespace ingot {

struct TokenizeOptions {
  std::filesystem::path tokenizer;
  std::optional<std::filesystem::path> input;  // exactly one of input and text
  std::optional<std::string> text;
  bool decode = false;
  bool json = false;
  bool special = false;        // encoding: with what the tokenizer puts around a text
  std::string field = "text";  // of a .jsonl's lines when encoding
};

// Returns the exit code 0; everything else is an Error.
int tokenize_command(const TokenizeOptions& options, std::ostream& out);

}  // namespace ingot

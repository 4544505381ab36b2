// The content of a tokenizer.json that decides which ids a text becomes, as plain values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizer/bpe.h"
#include "data/tokenizer/normalizer.h"
#include "data/tokenizer/pretokenizer.h"
#include "io/companion_files.h"

namespace ingot {

struct AddedToken {
  std::uint32_t id = 0;
  std::string content;
  bool single_word = false;  // only where no word character stands beside it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space behind it
  bool normalized = false;   // looked for in the normalized text
  bool special = false;      // decode can leave it out
};

// Bounds on what a file may ask for.
inline constexpr std::uint64_t kMaxTokenizerFileBytes = std::uint64_t{256} << 20;
inline constexpr std::uint32_t kMaxTokenId = (1u << 22) - 1;
inline constexpr std::size_t kMaxAddedTokenBytes = 4096;

struct TokenizerSpec {
  std::vector<std::pair<std::string, std::uint32_t>>
      vocabulary;                        // in the file's spelling, ids ascending
  std::vector<BpeMerge> merges;          // in order of rank
  std::vector<AddedToken> added_tokens;  // in order of the file
  std::vector<SplitStep> split_steps;
  Normalization normalization = Normalization::none;
  BpeOptions options;
  // The ids that the file's post-processor puts around a single text.
  std::vector<std::uint32_t> begin_ids, end_ids;
  // What the files beside tokenizer.json call the tokens that begin, end and fill up.
  std::optional<std::uint32_t> bos_id, eos_id, pad_id;
};

// Reads and checks the text of a tokenizer.json: ids and contents are unique, merges name tokens of
// the vocabulary. Error(data) naming `where` for everything else, and for features that ingot does
// not have.
TokenizerSpec parse_tokenizer_json(std::string_view json, const std::string& where);

// Reads the tokenizer_config.json and special_tokens_map.json among `files`: sets bos_id, eos_id
// and pad_id, and begin_ids where tokenizer.json leaves them to add_bos_token. `where`: of
// tokenizer.json.
void read_tokenizer_config(const CompanionFiles& files, const std::string& where,
                           TokenizerSpec& spec);

// A tokenizer.json that parse_tokenizer_json and Hugging Face's tokenizers read alike.
std::string write_tokenizer_json(const TokenizerSpec& spec);

// xxh3 of everything in the spec: equal for two files of equal meaning.
std::uint64_t hash(const TokenizerSpec& spec);

// GPT-2's spelling of bytes by printable characters: 'Ġ' for the space.
std::string spell_bytes(std::string_view bytes);
// The bytes a spelling stands for; nothing if it has a character that stands for no byte.
std::optional<std::string> bytes_of_spelling(std::string_view spelling);

}  // namespace ingot

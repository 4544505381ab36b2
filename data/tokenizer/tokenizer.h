// Text <-> token ids with a Hugging Face tokenizer.json whose model is byte-level BPE: GPT-2,
// Llama-3, Qwen2/2.5/3, DeepSeek-LLM, -V2, -V3 and their like. docs: spec/deepseek.md, section 10.
//
// encode gives what Hugging Face tokenizers' encode(add_special_tokens = false) gives, token for
// token. Bytes that are not UTF-8 are kept: without a normalizer, decode(encode(x)) == x for any
// bytes x (but for white space that an added token is told to strip and a prefix space that the
// file asks for).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer_spec.h"

namespace ingot {

// Immutable and cheap to copy. All functions may be called from any number of threads at once.
class Tokenizer {
 public:
  // Error(data): the file is missing, malformed, or asks for what ingot does not have
  // (byte_fallback, Unigram, ...).
  // What tokenizer_config.json and special_tokens_map.json say belongs to a file called
  // tokenizer.json that they stand beside.
  static Tokenizer load(const std::filesystem::path& file);
  // Of a model's files, tokenizer.json among them; `where` names their folder in messages.
  static Tokenizer of(const CompanionFiles& files, const std::filesystem::path& where);
  // `where` names the origin in messages.
  static Tokenizer parse(std::string_view json, const std::string& where);
  explicit Tokenizer(TokenizerSpec spec, const std::string& where = "tokenizer");

  // Appends to ids. Error(data) only for a byte the vocabulary does not know (never if all 256 are
  // in it) or a regex that needs absurdly long on this text; ids then hold what came before.
  void encode(std::string_view text, std::vector<std::uint32_t>& ids) const;
  std::vector<std::uint32_t> encode(std::string_view text) const;

  // What the file's "post_processor" puts before and behind a single text, or add_bos_token beside
  // it: often a begin-of-text token before it, or nothing. encode() leaves both out.
  std::span<const std::uint32_t> begin_ids() const;
  std::span<const std::uint32_t> end_ids() const;
  // A text for a model to go on with: begin_ids() unless the text begins with them by itself, then
  // its tokens.
  std::vector<std::uint32_t> encode_prompt(std::string_view text) const;

  // The tokens that the files beside tokenizer.json name so.
  std::optional<std::uint32_t> bos_id() const;
  std::optional<std::uint32_t> eos_id() const;
  std::optional<std::uint32_t> pad_id() const;

  // Bytes, not always UTF-8. skip_special leaves out added tokens marked special. Error(data) for
  // an unknown id.
  std::string decode(std::span<const std::uint32_t> ids, bool skip_special = false) const;
  // The bytes of one token, valid as long as the tokenizer; empty for unused ids below
  // vocabulary_size().
  std::string_view token_bytes(std::uint32_t id) const;
  bool is_special(std::uint32_t id) const;

  std::uint32_t vocabulary_size() const;  // highest id + 1
  // xxh3 of all that decides the encoding. Stands in the header of every shard.
  std::uint64_t hash() const;
  // The id of a token in the file's spelling ("Ġthe", "<|endoftext|>").
  std::optional<std::uint32_t> token_id(std::string_view content) const;

 private:
  struct Parts;
  std::shared_ptr<const Parts> parts_;
};

inline constexpr const char* kTokenizerFile = "tokenizer.json";

// The hash of the tokenizer.json in a model's folder or a checkpoint; nothing where there is none.
// Error(data) as Tokenizer::load().
std::optional<std::uint64_t> tokenizer_hash_in(const std::filesystem::path& folder);

// For text that appears token by token: keeps back what may be the first half of a character.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special = true)
      : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

  // What this token completes: always valid UTF-8. Bytes that cannot be become U+FFFD.
  std::string push(std::uint32_t id);
  // What is left: U+FFFD for half a character.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  std::string pending_;
};

}  // namespace ingot

// OUTPUT/prepare.json: the settings a folder of shards was made with, and which shards are done.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/prepare/text_source.h"
#include "data/shards/shard.h"

namespace ingot {

// All that decides the content of the shards.
struct PrepareSettings {
  std::vector<std::string> inputs;  // as given
  std::uint64_t files = 0, bytes = 0, fingerprint = 0;
  std::string tokenizer;                 // "train", or "" for a file: its hash says which
  std::uint32_t trained_vocabulary = 0;  // "train": as asked for
  std::uint64_t sample_bytes = 0;        // "train"
  std::string field;
  double validation = 0;
  std::uint64_t shard_tokens = 0;
  // Known once the tokenizer is.
  std::uint64_t tokenizer_hash = 0;
  std::uint32_t vocabulary_size = 0, end_of_text = 0;
  std::optional<std::uint32_t> begin_of_text;
};

struct PreparedShard {
  std::string name;  // "train-00000"
  ShardHeader header;
  std::uint64_t empty_documents = 0;
  TextPosition end;  // where the next shard of this part goes on
};

struct PreparedPart {
  std::vector<PreparedShard> shards;
  bool done = false;
};

struct PrepareState {
  PrepareSettings settings;
  bool tokenizer_ready = false;  // OUTPUT/tokenizer.json stands, the settings name its hash
  PreparedPart train, validation;
};

// Nothing when there is no prepare.json. Error(data) when it is damaged.
std::optional<PrepareState> load_state(const std::filesystem::path& output);
// Of the text of a prepare.json; `where` names it in the error.
PrepareState parse_state(const std::string& json, const std::string& where);
// Atomically. Error(device) when the folder is read-only or full.
void save_state(const std::filesystem::path& output, const PrepareState& state);

// The first setting that differs, for the user ("--field was text, is now body"); "" if none does.
// with_tokenizer: compare what is known only once the tokenizer is, too.
std::string difference(const PrepareSettings& before, const PrepareSettings& now,
                       bool with_tokenizer);

// The header that a shard made with these settings begins with.
ShardHeader header_of(const PrepareSettings& settings);

// Drops the shards of a part from the first that is not there as recorded, hash and all: reads
// them. Returns how many are left.
std::size_t keep_intact_shards(const std::filesystem::path& output, PreparedPart& part);

// Whether a file name is one that prepare gives to shards (.bin and .idx).
bool is_shard_name(const std::string& name);

// Removes what a killed run left half-written and, if `everything`, all shards and prepare.json.
void clean(const std::filesystem::path& output, bool everything);

}  // namespace ingot

// `ingot prepare`: text -> token shards (data/shards/shard.h), ready for training.
//
// OUTPUT/train-00000.bin, .idx, ...   all but the last part of the text
// OUTPUT/validation-00000.bin, ...    the last part (--validation, 2 %)
// OUTPUT/tokenizer.json               a copy of the tokenizer, or the one trained here
// OUTPUT/prepare.json                 what was made from what; lets a killed run go on
//
// Memory does not grow with the text. The shards do not depend on the number of threads, nor on
// how often the run was killed and started again: a shard is finished, then recorded, and the next
// run goes on behind the last recorded one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ingot {

struct PrepareOptions {
  std::vector<std::string> inputs;    // files and folders, see data/prepare/text_source.h
  std::string tokenizer;              // a tokenizer.json, or "train"
  std::uint32_t vocabulary_size = 0;  // for "train": with <|endoftext|>, at least 257
  std::string output;                 // a folder; made if missing
  std::string field = "text";         // of JSONL
  // Begin each document as the tokenizer begins a text (Tokenizer::begin_of_text(), its
  // "post_processor"); Error(usage) if it does not.
  bool begin_of_text = false;
  // The token that ends each document; by default the first that the tokenizer knows of
  // <｜end▁of▁sentence｜>, <|end_of_text|>, <|endoftext|>, </s>.
  std::optional<std::string> end_of_text;
  double validation = 0.02;                  // part of the bytes, 0 .. 0.5
  std::uint64_t shard_tokens = 100'000'000;  // about the most in one shard, at least 1
  std::uint64_t sample_bytes = 128 << 20;    // "train": about how much text to train on
  int threads = 1;                           // that encode, at least 1
  bool overwrite = false;                    // replace shards of other settings in the folder
  bool progress = true;                      // on stderr
};

// Of all shards in the folder; seconds and megabytes a second are those of this run alone.
struct PrepareResult {
  std::uint64_t documents = 0, empty_documents = 0;  // empty: files, "" and null in JSONL
  std::uint64_t binary_files = 0;                    // left out
  std::uint64_t train_tokens = 0, validation_tokens = 0;
  std::uint64_t text_bytes = 0;
  std::uint64_t train_shards = 0, validation_shards = 0;
  std::uint32_t vocabulary_size = 0;
  std::uint64_t resumed_shards = 0;  // made by an earlier run
  std::uint64_t encoded_bytes = 0;   // in this run
  double tokenizer_seconds = 0;      // training it, in this run
  double encode_seconds = 0;
  std::vector<std::string> notes;  // what was left out and why, for the user
};

// Errors: usage (settings that make no sense, or that differ from those the folder was made with),
// data (input, tokenizer), device (the folder is read-only, the disk is full). Finished shards are
// kept in all cases.
PrepareResult prepare(const PrepareOptions& options);

// A few lines for the user: documents, tokens, bytes per token, shards, seconds, MB/s.
std::string summary_of(const PrepareResult& result);

}  // namespace ingot

// Shards as one long stream of tokens, cut into samples: sample i is tokens [i*T, i*T + T] of the
// stream, T = sequence_length. The last token of a sample is only a target and begins the next one,
// so that every token is predicted once, but for the very first and the rest, of less than T
// tokens, that no sample holds. Samples run across documents and shards.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/shards/shard.h"

namespace ingot {

struct DatasetOptions {
  // Paths of .bin files; `*` and `?` match within a folder or file name, unless there is one of
  // that very name. Matches of one pattern are taken in byte order of their paths, patterns in the
  // given order, no file twice.
  std::vector<std::string> patterns;
  std::int64_t sequence_length = 0;   // T, at least 1
  std::uint64_t vocabulary_size = 0;  // of the model; 0: what the shards say
  bool verify = false;                // read every shard once and compare its hash
};

// Const functions may be called from several threads.
class Dataset {
 public:
  // Opens every shard. Error(data) when a pattern matches nothing, a shard is damaged (its header;
  // with `verify` any token), shards come from different tokenizers or begin or end documents with
  // different tokens, the vocabulary exceeds the model's, or there are fewer than T + 1 tokens.
  explicit Dataset(const DatasetOptions& options);

  std::int64_t sequence_length() const { return sequence_length_; }
  std::int64_t token_count() const { return first_tokens_.back(); }
  std::int64_t sample_count() const { return (token_count() - 1) / sequence_length_; }
  std::uint64_t tokenizer_hash() const { return shards_.front().header().tokenizer_hash; }
  // What documents end and begin with, as far as the shards say (data/shards/shard.h).
  std::optional<std::uint32_t> end_of_text() const { return end_of_text_; }
  std::optional<std::uint32_t> begin_of_text() const { return begin_of_text_; }
  std::span<const Shard> shards() const { return shards_; }

  // tokens [T], targets [T]: targets[t] follows tokens[t]. sample: 0 .. sample_count() - 1.
  // Allocates nothing. Error(data) when a token is outside the vocabulary, or a shard became
  // shorter or cannot be read.
  void read(std::int64_t sample, std::span<std::int32_t> tokens,
            std::span<std::int32_t> targets) const;

  // Asks the kernel to bring a sample into memory; read() after that need not wait for the disk.
  void prefetch(std::int64_t sample) const;

 private:
  // Calls part(shard, first token in it, count) for each shard's share of tokens first .. first +
  // count.
  template <class Part>
  void for_each_part(std::int64_t first, std::int64_t count, Part&& part) const;

  std::int64_t sequence_length_;
  std::uint64_t vocabulary_size_;
  std::optional<std::uint32_t> end_of_text_, begin_of_text_;
  std::vector<Shard> shards_;
  std::vector<std::int64_t> first_tokens_;  // of each shard in the stream; then the total
};

}  // namespace ingot

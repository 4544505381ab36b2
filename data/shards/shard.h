// Token shards: the files `ingot prepare` writes and training reads.
//
// PREFIX.bin  a 4096-byte header, then the tokens, 2 or 4 bytes each.
// PREFIX.idx  a 64-byte header, then one u64 for each document that begins in this shard: the
//             number of its first token in the .bin. A document may run on into the next shard.
// All numbers are little-endian.
//
//   .bin  at  0  magic "INGOTBIN"          at 48  vocabulary size, u64
//         at  8  version, u32: 2           at 56  xxh3-64 of the first 56 bytes
//         at 12  bytes per token, u32      at 64  end-of-text token, u32
//         at 16  token count, u64          at 68  begin-of-text token, u32
//         at 24  document count, u64       at 72  xxh3-64 of the 8 bytes before
//         at 32  tokenizer hash, u64       at 80  zeros
//         at 40  xxh3-64 of the tokens' bytes
//   .idx  at  0  magic "INGOTIDX"          at 32  xxh3-64 of the .bin's tokens: ties the two
//         at  8  version, u32: 1           at 40  xxh3-64 of the offsets' bytes
//         at 12  zero, u32                 at 48  zero, u64
//         at 16  document count, u64       at 56  xxh3-64 of the first 56 bytes
//         at 24  token count of the .bin
//
// Version 1 of the .bin, which is read as well, has zeros from 64 on. A token at 64 or 68 that no
// document ends or begins with is 2^32 - 1.
//
// Nothing in a file is believed: a damaged, truncated or foreign one is an Error(data) that names
// it. Tokens are read, not mapped: a file that shrinks, vanishes or fails under a run is an
// Error(data) too, not a signal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "io/file_descriptor.h"
#include "io/hash.h"

namespace ingot {

struct ShardHeader {
  std::uint32_t token_bytes = 2;  // 2: u16, 4: u32
  std::uint64_t token_count = 0;
  std::uint64_t document_count = 0;  // that begin in this shard
  std::uint64_t tokenizer_hash = 0;
  std::uint64_t payload_hash = 0;
  std::uint64_t vocabulary_size = 0;
  // The tokens each document ends and begins with; nothing: with none, or made by a version of
  // `ingot prepare` that did not say.
  std::optional<std::uint32_t> end_of_text, begin_of_text;

  bool operator==(const ShardHeader&) const = default;
};

inline constexpr std::uint64_t kShardHeaderBytes = 4096;
inline constexpr std::uint64_t kShardIndexHeaderBytes = 64;
// Ids are int32 in training.
inline constexpr std::uint64_t kLargestVocabulary = std::uint64_t{1} << 31;

// Smallest width that holds every id of a vocabulary.
constexpr std::uint32_t token_bytes_for(std::uint64_t vocabulary_size) {
  return vocabulary_size <= 65536 ? 2 : 4;
}

// PREFIX.bin -> PREFIX.idx
std::filesystem::path index_path_of(const std::filesystem::path& shard);

// Writes one shard as a stream. Neither file exists under its name before commit(), which makes the
// .idx, then the .bin: a .bin never stands without its index. A full disk is an Error(device), and
// files of these names that were there stay as they were.
class ShardWriter {
 public:
  // prefix: the path without ".bin"; its folder must exist. Of the header: vocabulary_size (1 ..
  // 2^31), tokenizer_hash, end_of_text and begin_of_text (ids of the vocabulary); the rest is
  // counted.
  ShardWriter(const std::filesystem::path& prefix, const ShardHeader& header);

  // The next appended token is the first of a document. Every document has a token.
  void begin_document();
  // Ids below the vocabulary size; others are a programmer's mistake (std::logic_error).
  void append(std::span<const std::uint32_t> ids);

  std::uint64_t token_count() const { return header_.token_count; }

  // Once, after at least one token. Returns what stands in the header.
  ShardHeader commit();

 private:
  template <class Token>
  void append_as(std::span<const std::uint32_t> ids);

  ShardHeader header_;
  AtomicFile tokens_, index_;
  Hash token_hash_, index_hash_;
  std::vector<std::byte> narrow_;  // a bounded piece of tokens in the file's width
  std::uint64_t last_document_ = 0;
};

// An open shard. Const functions may be called from several threads.
class Shard {
 public:
  // path: the .bin. Checks the header against itself and the file's size.
  explicit Shard(std::filesystem::path path);

  const ShardHeader& header() const { return header_; }
  const std::filesystem::path& path() const { return path_; }

  // Tokens first .. first + out.size(), which must lie within the shard; one read of the file. A
  // token that is not below `vocabulary_size` is an Error(data) with the shard's name and the
  // token's position. Allocates nothing.
  void read(std::uint64_t first, std::span<std::int32_t> out, std::uint64_t vocabulary_size) const;

  // A hint: these tokens are needed soon.
  void prefetch(std::uint64_t first, std::uint64_t count) const;

  // Reads all tokens: their hash and range. Error(data) names what is wrong.
  void verify_tokens() const;
  // The same, and the index.
  void verify() const;

 private:
  // Fills the buffer with the tokens' bytes as they lie.
  void read_bytes(std::uint64_t first, std::span<std::byte> out) const;

  std::filesystem::path path_;
  FileDescriptor file_;
  ShardHeader header_;
};

// The documents of a shard, in memory.
class ShardIndex {
 public:
  // Opens the .idx beside the shard. Error(data) when missing, damaged or of another shard.
  explicit ShardIndex(const Shard& shard);

  std::uint64_t document_count() const { return first_tokens_.size(); }
  // First token of a document; document < document_count(). A value from the file: verify() checks
  // it against the shard.
  std::uint64_t first_token(std::uint64_t document) const;

  // Error(data) unless the offsets have the stored hash, rise, and lie within the shard.
  void verify() const;

 private:
  std::filesystem::path path_;
  std::vector<std::uint64_t> first_tokens_;
  std::uint64_t token_count_ = 0, payload_hash_ = 0;
};

}  // namespace ingot

#include "data/shards/shard.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "data/shards/shard_format.h"
#include "engine/base/error.h"

namespace ingot {
namespace {

using namespace shard_format;

constexpr std::size_t kVerifyBytes = std::size_t{1} << 20;  // read at a time

std::string text_of(std::uint64_t number) { return std::to_string(number); }

[[noreturn]] void refuse(const std::filesystem::path& path, std::string what) {
  throw Error(ErrorCode::data, std::move(what), path.string(),
              "make the shards again with `ingot prepare`, or copy them again");
}

[[noreturn]] void refuse_token(const std::filesystem::path& path, std::uint32_t token,
                               std::uint64_t position, std::uint64_t limit) {
  refuse(path, "token " + text_of(token) + " at position " + text_of(position) +
                   " is outside the vocabulary of " + text_of(limit));
}

// Fills the buffer from this place of the file.
void read_at(const FileDescriptor& file, const std::filesystem::path& path, std::uint64_t offset,
             std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t count =
        ::pread(file.number(), out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      throw Error(ErrorCode::data, "cannot read: " + describe_errno(errno), path.string(),
                  "check the disk, or prepare this shard again");
    }
    if (count == 0) {
      throw Error(ErrorCode::data,
                  "the file became shorter while it was open: it ends at byte " + text_of(offset),
                  path.string(), "prepare this shard again");
    }
    out = out.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

// What both headers share: size, magic, version, own hash.
template <class Raw>
Raw read_header(const FileDescriptor& file, const std::filesystem::path& path,
                std::uint64_t header_bytes, const std::array<char, 8>& magic, std::uint32_t newest,
                const char* kind) {
  const std::uint64_t size = size_of_file(file, path);
  if (size < header_bytes) {
    refuse(path, std::string("not a ") + kind + ": " + text_of(size) +
                     " bytes, its header alone has " + text_of(header_bytes));
  }
  Raw raw;
  const auto bytes = std::as_writable_bytes(std::span(&raw, 1));
  read_at(file, path, 0, bytes);
  if (raw.magic != magic) refuse(path, std::string("not a ") + kind);
  if (raw.version == 0 || raw.version > newest) {
    refuse(path, std::string(kind) + " of version " + text_of(raw.version) +
                     ", this program reads up to version " + text_of(newest));
  }
  if (raw.header_hash != hash_of(bytes.first(kHashedBytes))) {
    refuse(path, std::string("the header of this ") + kind + " is damaged");
  }
  return raw;
}

std::optional<std::uint32_t> known(std::uint32_t token) {
  return token == kNoToken ? std::nullopt : std::optional(token);
}

// The tokens at a document's ends; what else lies behind the fixed part must be zeros.
void read_ends(const FileDescriptor& file, const std::filesystem::path& path, const RawHeader& raw,
               ShardHeader& header) {
  const std::size_t begin = raw.version == 1 ? offsetof(RawHeader, end_of_text) : sizeof raw;
  std::array<std::byte, kShardHeaderBytes> bytes;
  read_at(file, path, 0, bytes);
  const bool zeros = std::ranges::all_of(std::span(bytes).subspan(begin),
                                         [](std::byte b) { return b == std::byte{0}; });
  if (!zeros || (raw.version > 1 && raw.tokens_hash != hash_of_tokens(raw))) {
    refuse(path, "the header of this token shard is damaged");
  }
  if (raw.version == 1) return;
  header.end_of_text = known(raw.end_of_text);
  header.begin_of_text = known(raw.begin_of_text);
  for (const auto& token : {header.end_of_text, header.begin_of_text}) {
    if (token && *token >= raw.vocabulary_size) {
      refuse(path, "documents end or begin with token " + text_of(*token) +
                       ", outside the vocabulary of " + text_of(raw.vocabulary_size));
    }
  }
}

ShardHeader checked_header(const FileDescriptor& file, const std::filesystem::path& path) {
  const auto raw =
      read_header<RawHeader>(file, path, kShardHeaderBytes, kMagic, kVersion, "token shard");
  if (raw.token_bytes != 2 && raw.token_bytes != 4) {
    refuse(path, "tokens of " + text_of(raw.token_bytes) + " bytes, possible are 2 and 4");
  }
  const std::uint64_t payload = size_of_file(file, path) - kShardHeaderBytes;
  // Divided, not multiplied: the count may be any number.
  if (payload % raw.token_bytes != 0 || raw.token_count != payload / raw.token_bytes) {
    refuse(path, "the header says " + text_of(raw.token_count) + " tokens of " +
                     text_of(raw.token_bytes) + " bytes, the file has " + text_of(payload) +
                     " bytes of them");
  }
  if (raw.token_count == 0) refuse(path, "the shard holds no tokens");
  if (raw.document_count > raw.token_count) {
    refuse(path, "the header says " + text_of(raw.document_count) + " documents in " +
                     text_of(raw.token_count) + " tokens");
  }
  if (raw.vocabulary_size == 0 || raw.vocabulary_size > kLargestVocabulary ||
      raw.token_bytes < token_bytes_for(raw.vocabulary_size)) {
    refuse(path, "a vocabulary of " + text_of(raw.vocabulary_size) + " in tokens of " +
                     text_of(raw.token_bytes) + " bytes");
  }
  ShardHeader header{raw.token_bytes,  raw.token_count,     raw.document_count, raw.tokenizer_hash,
                     raw.payload_hash, raw.vocabulary_size, std::nullopt,       std::nullopt};
  read_ends(file, path, raw, header);
  return header;
}

// Widens tokens that lie at the end of `out`, front to back, so that none is overwritten before it
// is read. Returns the largest.
template <class Token>
std::uint32_t widen(std::span<std::int32_t> out) {
  const std::byte* source =
      reinterpret_cast<const std::byte*>(out.data() + out.size()) - out.size() * sizeof(Token);
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    Token token;
    std::memcpy(&token, source + i * sizeof token, sizeof token);
    largest = std::max<std::uint32_t>(largest, token);
    out[i] = static_cast<std::int32_t>(token);
  }
  return largest;
}

// The position of the first token that is not below the limit; tokens.size() if there is none.
template <class Token>
std::size_t first_outside(std::span<const std::byte> tokens, std::uint64_t limit) {
  std::size_t i = 0;
  for (; i < tokens.size() / sizeof(Token); ++i) {
    Token token;
    std::memcpy(&token, tokens.data() + i * sizeof token, sizeof token);
    if (token >= limit) break;
  }
  return i;
}

}  // namespace

std::filesystem::path index_path_of(const std::filesystem::path& shard) {
  return std::filesystem::path(shard).replace_extension(".idx");
}

Shard::Shard(std::filesystem::path path)
    : path_(std::move(path)),
      file_(open_for_reading(path_)),
      header_(checked_header(file_, path_)) {
  // Samples come in any order: no read-ahead around them.
  ::posix_fadvise(file_.number(), 0, 0, POSIX_FADV_RANDOM);
}

void Shard::read_bytes(std::uint64_t first, std::span<std::byte> out) const {
  if (first > header_.token_count ||
      out.size() / header_.token_bytes > header_.token_count - first) {
    throw std::logic_error("tokens beyond the end of a shard");
  }
  read_at(file_, path_, kShardHeaderBytes + first * header_.token_bytes, out);
}

void Shard::read(std::uint64_t first, std::span<std::int32_t> out,
                 std::uint64_t vocabulary_size) const {
  read_bytes(first, std::as_writable_bytes(out).last(out.size() * header_.token_bytes));
  const std::uint32_t largest =
      header_.token_bytes == 2 ? widen<std::uint16_t>(out) : widen<std::uint32_t>(out);
  const std::uint64_t limit = std::min(vocabulary_size, kLargestVocabulary);
  if (largest < limit || out.empty()) return;
  std::size_t bad = 0;
  while (static_cast<std::uint32_t>(out[bad]) < limit) ++bad;
  refuse_token(path_, static_cast<std::uint32_t>(out[bad]), first + bad, limit);
}

void Shard::prefetch(std::uint64_t first, std::uint64_t count) const {
  if (first > header_.token_count || count > header_.token_count - first) {
    throw std::logic_error("tokens beyond the end of a shard");
  }
  ::posix_fadvise(file_.number(),
                  static_cast<off_t>(kShardHeaderBytes + first * header_.token_bytes),
                  static_cast<off_t>(count * header_.token_bytes), POSIX_FADV_WILLNEED);
}

void Shard::verify_tokens() const {
  ::posix_fadvise(file_.number(), 0, 0, POSIX_FADV_SEQUENTIAL);
  Hash hash;
  std::vector<std::byte> block(kVerifyBytes);
  const std::uint64_t limit = header_.vocabulary_size;
  for (std::uint64_t first = 0; first < header_.token_count;) {
    const std::uint64_t count =
        std::min<std::uint64_t>(kVerifyBytes / header_.token_bytes, header_.token_count - first);
    const auto bytes = std::span(block).first(count * header_.token_bytes);
    read_bytes(first, bytes);
    hash.update(bytes);
    const std::size_t bad = header_.token_bytes == 2 ? first_outside<std::uint16_t>(bytes, limit)
                                                     : first_outside<std::uint32_t>(bytes, limit);
    if (bad < count) {
      std::uint32_t token = 0;
      std::memcpy(&token, bytes.data() + bad * header_.token_bytes, header_.token_bytes);
      refuse_token(path_, token, first + bad, limit);
    }
    first += count;
  }
  ::posix_fadvise(file_.number(), 0, 0, POSIX_FADV_RANDOM);
  if (hash.value() != header_.payload_hash) {
    refuse(path_, "the tokens are damaged: their hash is " + to_hex(hash.value()) +
                      ", the header says " + to_hex(header_.payload_hash));
  }
}

void Shard::verify() const {
  verify_tokens();
  ShardIndex(*this).verify();
}

ShardIndex::ShardIndex(const Shard& shard) : path_(index_path_of(shard.path())) {
  const FileDescriptor file = open_for_reading(path_);
  const auto raw = read_header<RawIndexHeader>(file, path_, kShardIndexHeaderBytes, kIndexMagic,
                                               kIndexVersion, "shard index");
  const std::uint64_t payload = size_of_file(file, path_) - kShardIndexHeaderBytes;
  if (payload % 8 != 0 || raw.document_count != payload / 8) {
    refuse(path_, "the header says " + text_of(raw.document_count) + " documents, the file has " +
                      text_of(payload) + " bytes of offsets");
  }
  const ShardHeader& header = shard.header();
  if (raw.shard_hash != header.payload_hash || raw.token_count != header.token_count ||
      raw.document_count != header.document_count || raw.zero != 0 || raw.reserved != 0) {
    refuse(path_, "this index belongs to another shard");
  }
  token_count_ = raw.token_count;
  payload_hash_ = raw.payload_hash;
  first_tokens_.resize(raw.document_count);
  read_at(file, path_, kShardIndexHeaderBytes, std::as_writable_bytes(std::span(first_tokens_)));
}

std::uint64_t ShardIndex::first_token(std::uint64_t document) const {
  if (document >= document_count()) {
    throw std::logic_error("a document beyond the end of a shard index");
  }
  return first_tokens_[document];
}

void ShardIndex::verify() const {
  if (hash_of(std::as_bytes(std::span(first_tokens_))) != payload_hash_) {
    refuse(path_, "the document offsets are damaged");
  }
  for (std::uint64_t i = 0; i < document_count(); ++i) {
    const std::uint64_t offset = first_token(i);
    if (offset >= token_count_ || (i > 0 && offset <= first_token(i - 1))) {
      refuse(path_, "document " + text_of(i) + " begins at token " + text_of(offset) +
                        ", out of order or outside the shard");
    }
  }
}

}  // namespace ingot

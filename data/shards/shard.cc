#include "data/shards/shard.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "engine/base/error.h"

namespace ingot {
namespace {

static_assert(std::endian::native == std::endian::little,
              "shards are read and written as they lie");

constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHashedBytes = 56;  // of either header
constexpr std::size_t kConvertTokens = 16384;

struct RawHeader {
  std::array<char, 8> magic = {};
  std::uint32_t version = kVersion;
  std::uint32_t token_bytes = 0;
  std::uint64_t token_count = 0;
  std::uint64_t document_count = 0;
  std::uint64_t tokenizer_hash = 0;
  std::uint64_t payload_hash = 0;
  std::uint64_t vocabulary_size = 0;
  std::uint64_t header_hash = 0;
};

struct RawIndexHeader {
  std::array<char, 8> magic = {};
  std::uint32_t version = kVersion;
  std::uint32_t zero = 0;
  std::uint64_t document_count = 0;
  std::uint64_t token_count = 0;
  std::uint64_t shard_hash = 0;
  std::uint64_t payload_hash = 0;
  std::uint64_t reserved = 0;
  std::uint64_t header_hash = 0;
};

static_assert(sizeof(RawHeader) == 64 && sizeof(RawIndexHeader) == 64);
static_assert(std::has_unique_object_representations_v<RawHeader>);
static_assert(std::has_unique_object_representations_v<RawIndexHeader>);

constexpr std::array<char, 8> kMagic = {'I', 'N', 'G', 'O', 'T', 'B', 'I', 'N'};
constexpr std::array<char, 8> kIndexMagic = {'I', 'N', 'G', 'O', 'T', 'I', 'D', 'X'};

std::string text_of(std::uint64_t number) { return std::to_string(number); }

[[noreturn]] void refuse(const std::filesystem::path& path, std::string what) {
  throw Error(ErrorCode::data, std::move(what), path.string(),
              "make the shards again with `ingot prepare`, or copy them again");
}

// What both headers share: size, magic, version, own hash.
template <class Raw>
Raw read_header(const MappedFile& file, std::uint64_t header_bytes,
                const std::array<char, 8>& magic, const char* kind) {
  Raw raw;
  if (file.size() < header_bytes) {
    refuse(file.path(), std::string("not a ") + kind + ": " + text_of(file.size()) +
                            " bytes, its header alone has " + text_of(header_bytes));
  }
  std::memcpy(&raw, file.bytes().data(), sizeof raw);
  if (raw.magic != magic) refuse(file.path(), std::string("not a ") + kind);
  if (raw.version != kVersion) {
    refuse(file.path(), std::string(kind) + " of version " + text_of(raw.version) +
                            ", this program reads version " + text_of(kVersion));
  }
  if (raw.header_hash != hash_of(file.bytes().first(kHashedBytes))) {
    refuse(file.path(), std::string("the header of this ") + kind + " is damaged");
  }
  return raw;
}

template <class Raw>
std::span<const std::byte> seal(Raw& raw) {
  const auto bytes = std::as_bytes(std::span(&raw, 1));
  raw.header_hash = hash_of(bytes.first(kHashedBytes));
  return bytes;
}

ShardHeader checked_header(const MappedFile& file) {
  const auto raw = read_header<RawHeader>(file, kShardHeaderBytes, kMagic, "token shard");
  const auto& path = file.path();
  if (raw.token_bytes != 2 && raw.token_bytes != 4) {
    refuse(path, "tokens of " + text_of(raw.token_bytes) + " bytes, possible are 2 and 4");
  }
  const std::uint64_t payload = file.size() - kShardHeaderBytes;
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
  const auto rest = file.bytes().subspan(sizeof raw, kShardHeaderBytes - sizeof raw);
  if (std::ranges::any_of(rest, [](std::byte b) { return b != std::byte{0}; })) {
    refuse(path, "the header of this token shard is damaged");
  }
  return {raw.token_bytes,    raw.token_count,  raw.document_count,
          raw.tokenizer_hash, raw.payload_hash, raw.vocabulary_size};
}

// Widens the tokens and returns the largest; one branch-free loop that the compiler vectorises.
template <class Token>
std::uint32_t widen(const std::byte* source, std::span<std::int32_t> out) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    Token token;
    std::memcpy(&token, source + i * sizeof token, sizeof token);
    largest = std::max<std::uint32_t>(largest, token);
    out[i] = static_cast<std::int32_t>(token);
  }
  return largest;
}

std::filesystem::path with_suffix(std::filesystem::path prefix, const char* suffix) {
  prefix += suffix;
  return prefix;
}

}  // namespace

std::filesystem::path index_path_of(const std::filesystem::path& shard) {
  return std::filesystem::path(shard).replace_extension(".idx");
}

ShardWriter::ShardWriter(const std::filesystem::path& prefix, std::uint64_t vocabulary_size,
                         std::uint64_t tokenizer_hash)
    : tokens_(with_suffix(prefix, ".bin")), index_(with_suffix(prefix, ".idx")) {
  if (vocabulary_size == 0 || vocabulary_size > kLargestVocabulary) {
    throw std::logic_error("a shard's vocabulary size must be 1 to 2^31");
  }
  header_.token_bytes = token_bytes_for(vocabulary_size);
  header_.tokenizer_hash = tokenizer_hash;
  header_.vocabulary_size = vocabulary_size;
  narrow_.resize(kConvertTokens * header_.token_bytes);
  const std::array<std::byte, kShardHeaderBytes> zeros = {};
  tokens_.write(zeros);
  index_.write(std::span(zeros).first(kShardIndexHeaderBytes));
}

void ShardWriter::begin_document() {
  if (header_.document_count > 0 && header_.token_count == last_document_) {
    throw std::logic_error("a document without tokens");
  }
  last_document_ = header_.token_count;
  ++header_.document_count;
  const auto bytes = std::as_bytes(std::span(&last_document_, 1));
  index_hash_.update(bytes);
  index_.write(bytes);
}

void ShardWriter::append(std::span<const std::uint32_t> ids) {
  if (header_.token_bytes == 2) {
    append_as<std::uint16_t>(ids);
  } else {
    append_as<std::uint32_t>(ids);
  }
}

template <class Token>
void ShardWriter::append_as(std::span<const std::uint32_t> ids) {
  while (!ids.empty()) {
    const auto part = ids.first(std::min(ids.size(), kConvertTokens));
    ids = ids.subspan(part.size());
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < part.size(); ++i) {
      const auto token = static_cast<Token>(part[i]);
      largest = std::max(largest, part[i]);
      std::memcpy(narrow_.data() + i * sizeof token, &token, sizeof token);
    }
    if (largest >= header_.vocabulary_size) {
      throw std::logic_error("token " + text_of(largest) + " in a vocabulary of " +
                             text_of(header_.vocabulary_size));
    }
    const auto bytes = std::span(narrow_).first(part.size() * sizeof(Token));
    token_hash_.update(bytes);
    tokens_.write(bytes);
    header_.token_count += part.size();
  }
}

ShardHeader ShardWriter::commit() {
  if (header_.token_count == 0 ||
      (header_.document_count > 0 && header_.token_count == last_document_)) {
    throw std::logic_error("a shard or document without tokens");
  }
  header_.payload_hash = token_hash_.value();
  RawHeader raw{.magic = kMagic,
                .token_bytes = header_.token_bytes,
                .token_count = header_.token_count,
                .document_count = header_.document_count,
                .tokenizer_hash = header_.tokenizer_hash,
                .payload_hash = header_.payload_hash,
                .vocabulary_size = header_.vocabulary_size};
  RawIndexHeader index{.magic = kIndexMagic,
                       .document_count = header_.document_count,
                       .token_count = header_.token_count,
                       .shard_hash = header_.payload_hash,
                       .payload_hash = index_hash_.value()};
  index_.overwrite(0, seal(index));
  tokens_.overwrite(0, seal(raw));
  index_.commit();
  tokens_.commit();
  return header_;
}

Shard::Shard(std::filesystem::path path) : file_(std::move(path)), header_(checked_header(file_)) {
  file_.expect_random_access();
}

std::span<const std::byte> Shard::bytes_of(std::uint64_t first, std::uint64_t count) const {
  if (first > header_.token_count || count > header_.token_count - first) {
    throw std::logic_error("tokens beyond the end of a shard");
  }
  return file_.bytes().subspan(kShardHeaderBytes + first * header_.token_bytes,
                               count * header_.token_bytes);
}

void Shard::copy(std::uint64_t first, std::span<std::int32_t> out,
                 std::uint64_t vocabulary_size) const {
  const std::byte* source = bytes_of(first, out.size()).data();
  const std::uint32_t largest = header_.token_bytes == 2 ? widen<std::uint16_t>(source, out)
                                                         : widen<std::uint32_t>(source, out);
  const std::uint64_t limit = std::min(vocabulary_size, kLargestVocabulary);
  if (largest < limit || out.empty()) return;
  std::size_t bad = 0;
  while (static_cast<std::uint32_t>(out[bad]) < limit) ++bad;
  refuse(path(), "token " + text_of(static_cast<std::uint32_t>(out[bad])) + " at position " +
                     text_of(first + bad) + " is outside the vocabulary of " + text_of(limit));
}

void Shard::prefetch(std::uint64_t first, std::uint64_t count) const {
  file_.prefetch(bytes_of(first, count));
}

void Shard::release(std::uint64_t first, std::uint64_t count) const {
  // A fault maps the cached pages around it too, a block of 64 KiB or a huge page, and they all
  // count as resident. Dropping a neighbour that is still wanted costs one more fault.
  constexpr std::size_t kFaultAround = std::size_t{1} << 16;
  const auto bytes = bytes_of(first, count);
  const auto all = file_.bytes();
  const std::size_t begin = static_cast<std::size_t>(bytes.data() - all.data());
  const std::size_t from = begin - std::min(begin, kFaultAround);
  const std::size_t to = std::min(all.size(), begin + bytes.size() + kFaultAround);
  file_.release(all.subspan(from, to - from));
}

void Shard::verify() const {
  Hash hash;
  std::vector<std::int32_t> part(kConvertTokens);
  for (std::uint64_t first = 0; first < header_.token_count; first += part.size()) {
    part.resize(std::min<std::uint64_t>(part.size(), header_.token_count - first));
    hash.update(bytes_of(first, part.size()));
    copy(first, part, header_.vocabulary_size);
    release(first, part.size());
  }
  if (hash.value() != header_.payload_hash) {
    refuse(path(), "the tokens are damaged: their hash is " + to_hex(hash.value()) +
                       ", the header says " + to_hex(header_.payload_hash));
  }
  ShardIndex(*this).verify();
}

ShardIndex::ShardIndex(const Shard& shard) : file_(index_path_of(shard.path())) {
  const auto raw =
      read_header<RawIndexHeader>(file_, kShardIndexHeaderBytes, kIndexMagic, "shard index");
  const std::uint64_t payload = file_.size() - kShardIndexHeaderBytes;
  if (payload % 8 != 0 || raw.document_count != payload / 8) {
    refuse(file_.path(), "the header says " + text_of(raw.document_count) +
                             " documents, the file has " + text_of(payload) + " bytes of offsets");
  }
  const ShardHeader& header = shard.header();
  if (raw.shard_hash != header.payload_hash || raw.token_count != header.token_count ||
      raw.document_count != header.document_count || raw.zero != 0 || raw.reserved != 0) {
    refuse(file_.path(), "this index belongs to another shard");
  }
  count_ = raw.document_count;
  token_count_ = raw.token_count;
  payload_hash_ = raw.payload_hash;
}

std::uint64_t ShardIndex::first_token(std::uint64_t document) const {
  if (document >= count_) throw std::logic_error("a document beyond the end of a shard index");
  std::uint64_t offset;
  std::memcpy(&offset, file_.bytes().data() + kShardIndexHeaderBytes + document * 8, sizeof offset);
  return offset;
}

void ShardIndex::verify() const {
  if (hash_of(file_.bytes().subspan(kShardIndexHeaderBytes)) != payload_hash_) {
    refuse(file_.path(), "the document offsets are damaged");
  }
  for (std::uint64_t i = 0; i < count_; ++i) {
    const std::uint64_t offset = first_token(i);
    if (offset >= token_count_ || (i > 0 && offset <= first_token(i - 1))) {
      refuse(file_.path(), "document " + text_of(i) + " begins at token " + text_of(offset) +
                               ", out of order or outside the shard");
    }
  }
}

}  // namespace ingot

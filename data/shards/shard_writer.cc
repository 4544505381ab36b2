// Writing shards.
#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <string>

#include "data/shards/shard.h"
#include "data/shards/shard_format.h"

namespace ingot {
namespace {

using namespace shard_format;

constexpr std::size_t kConvertTokens = 16384;

std::string text_of(std::uint64_t number) { return std::to_string(number); }

std::filesystem::path with_suffix(std::filesystem::path prefix, const char* suffix) {
  prefix += suffix;
  return prefix;
}

}  // namespace

ShardWriter::ShardWriter(const std::filesystem::path& prefix, const ShardHeader& header)
    : header_(header), tokens_(with_suffix(prefix, ".bin")), index_(with_suffix(prefix, ".idx")) {
  const auto outside = [&header](const std::optional<std::uint32_t>& token) {
    return token && *token >= header.vocabulary_size;
  };
  if (header.vocabulary_size == 0 || header.vocabulary_size > kLargestVocabulary ||
      outside(header.end_of_text) || outside(header.begin_of_text)) {
    throw std::logic_error("a shard's vocabulary size must be 1 to 2^31, and hold its own tokens");
  }
  header_.token_bytes = token_bytes_for(header.vocabulary_size);
  header_.token_count = header_.document_count = header_.payload_hash = 0;
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
                .vocabulary_size = header_.vocabulary_size,
                .end_of_text = header_.end_of_text.value_or(kNoToken),
                .begin_of_text = header_.begin_of_text.value_or(kNoToken)};
  raw.tokens_hash = hash_of_tokens(raw);
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

}  // namespace ingot

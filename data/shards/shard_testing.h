// For tests: shards made by a few words.
#pragma once

#include <cstdint>
#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "data/shards/shard.h"

namespace ingot {

// first, first + 1, ... modulo the vocabulary.
inline std::vector<std::uint32_t> counting_tokens(std::uint32_t first, std::size_t count,
                                                  std::uint32_t vocabulary_size) {
  std::vector<std::uint32_t> tokens(count);
  for (std::size_t i = 0; i < count; ++i) {
    tokens[i] = static_cast<std::uint32_t>((first + i) % vocabulary_size);
  }
  return tokens;
}

// PREFIX.bin and .idx of these tokens; every `document_tokens` tokens a document begins.
inline ShardHeader write_shard(const std::filesystem::path& prefix,
                               std::span<const std::uint32_t> tokens, std::uint64_t vocabulary_size,
                               std::uint64_t tokenizer_hash = 77,
                               std::size_t document_tokens = 10) {
  ShardWriter writer(prefix,
                     {.tokenizer_hash = tokenizer_hash, .vocabulary_size = vocabulary_size});
  while (!tokens.empty()) {
    const auto document = tokens.first(std::min(tokens.size(), document_tokens));
    writer.begin_document();
    writer.append(document);
    tokens = tokens.subspan(document.size());
  }
  return writer.commit();
}

inline std::vector<std::int32_t> tokens_of(const Shard& shard) {
  std::vector<std::int32_t> tokens(shard.header().token_count);
  shard.read(0, tokens, shard.header().vocabulary_size);
  return tokens;
}

}  // namespace ingot

// The headers of data/shards/shard.h as they lie in the files. Internal to it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "io/hash.h"

namespace ingot::shard_format {

static_assert(std::endian::native == std::endian::little,
              "shards are read and written as they lie");

inline constexpr std::uint32_t kVersion = 2, kIndexVersion = 1;
inline constexpr std::uint32_t kNoToken = ~std::uint32_t{0};
inline constexpr std::size_t kHashedBytes = 56;  // of either header

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
  std::uint32_t end_of_text = 0;  // from here on zeros in version 1
  std::uint32_t begin_of_text = 0;
  std::uint64_t tokens_hash = 0;
};

struct RawIndexHeader {
  std::array<char, 8> magic = {};
  std::uint32_t version = kIndexVersion;
  std::uint32_t zero = 0;
  std::uint64_t document_count = 0;
  std::uint64_t token_count = 0;
  std::uint64_t shard_hash = 0;
  std::uint64_t payload_hash = 0;
  std::uint64_t reserved = 0;
  std::uint64_t header_hash = 0;
};

static_assert(sizeof(RawHeader) == 80 && sizeof(RawIndexHeader) == 64);
static_assert(std::has_unique_object_representations_v<RawHeader>);
static_assert(std::has_unique_object_representations_v<RawIndexHeader>);

inline constexpr std::array<char, 8> kMagic = {'I', 'N', 'G', 'O', 'T', 'B', 'I', 'N'};
inline constexpr std::array<char, 8> kIndexMagic = {'I', 'N', 'G', 'O', 'T', 'I', 'D', 'X'};

template <class Raw>
std::span<std::byte> seal(Raw& raw) {
  const auto bytes = std::as_writable_bytes(std::span(&raw, 1));
  raw.header_hash = hash_of(bytes.first(kHashedBytes));
  return bytes;
}

inline std::uint64_t hash_of_tokens(const RawHeader& raw) {
  const std::array tokens = {raw.end_of_text, raw.begin_of_text};
  return hash_of(std::as_bytes(std::span(tokens)));
}

}  // namespace ingot::shard_format

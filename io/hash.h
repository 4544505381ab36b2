// xxh3-64 of byte streams: how ingot recognises damaged files. Not cryptographic: it finds bit rot
// and half-written files, not malice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

struct XXH3_state_s;

namespace ingot {

// Feeding a stream in pieces of any size gives the hash of the whole.
class Hash {
 public:
  Hash();
  Hash(Hash&&) noexcept = default;
  Hash& operator=(Hash&&) noexcept = default;
  ~Hash() = default;

  void update(std::span<const std::byte> bytes);
  // Of everything so far; more may follow.
  std::uint64_t value() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

std::uint64_t hash_of(std::span<const std::byte> bytes);
std::uint64_t hash_of(std::string_view text);

enum class ReadFrom {
  cache,  // whatever the kernel holds
  disk    // asks the kernel to forget its copy first, so that a bad write is seen
};

// Reads the file through a bounded buffer. Error(data) when it is missing or cannot be read.
std::uint64_t hash_of_file(const std::filesystem::path& path, ReadFrom from = ReadFrom::cache);

// 16 lower-case hexadecimal digits and back; nothing else is accepted.
std::string to_hex(std::uint64_t hash);
std::optional<std::uint64_t> from_hex(std::string_view digits);

}  // namespace ingot

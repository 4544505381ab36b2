// Compressed files as a stream of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

namespace ingot {

enum class Compression : std::uint8_t { none, gzip, zstd };

// What the first bytes of a file say.
Compression compression_of(std::string_view first_bytes);

// Reads from the start of the file; several compressed parts, one after the other, are one stream.
class Decompressor {
 public:
  // compression: not none. Error(data) when the file cannot be opened.
  Decompressor(const std::filesystem::path& path, Compression compression);
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;
  ~Decompressor();

  // Fills the buffer; fewer bytes only at the end. Error(data) when the file is damaged or cut off.
  std::size_t read(std::span<char> buffer);

  struct State;  // of the implementation

 private:
  std::unique_ptr<State> state_;
};

}  // namespace ingot

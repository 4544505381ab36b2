// One input file of `ingot prepare`, and its text at any offset: decompressed, and with JSON values
// one a line, whatever the file looks like.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "io/decompressor.h"
#include "io/file_descriptor.h"

namespace ingot {

struct TextFile {
  std::string path;
  std::uint64_t size = 0;        // bytes of text, at least 1
  std::int64_t modified_ns = 0;  // since the epoch
  bool jsonl = false;            // a document is one line, a JSON object
  // The objects are not lines of the file, but the elements of an array or spread over lines:
  // TextBytes makes them lines.
  bool spread = false;
  Compression compression = Compression::none;
};

// Puts each JSON value on a line of its own, byte for byte: newlines within a value become spaces,
// the brackets around an array and the commas between its elements spaces and newlines. Nothing is
// checked.
class JsonLineMaker {
 public:
  // The next bytes of the file, changed in place.
  void map(std::span<char> bytes);

 private:
  char outside_string(char c);

  bool begun_ = false, in_array_ = false, in_string_ = false, escaped_ = false;
  int depth_ = 0;
};

// Reading forward is a stream; going back costs what the text before takes, but for twice the size
// of the largest read.
class TextBytes {
 public:
  explicit TextBytes(const TextFile& info);

  // Reads exactly what lies at offset, unless the text ends before. Error(data) when the file
  // cannot be read or is damaged.
  std::size_t read_at(std::uint64_t offset, std::span<char> buffer);

 private:
  bool is_streamed() const { return compression_ != Compression::none || spread_; }
  std::size_t read_file(std::uint64_t offset, std::span<char> buffer) const;
  void restart();
  bool extend_window(std::uint64_t wanted_offset);

  std::string path_;
  Compression compression_;
  bool spread_;
  FileDescriptor file_;  // of a file that is not compressed
  std::optional<Decompressor> decompressor_;
  JsonLineMaker line_maker_;
  // Of a stream: the text read last.
  std::string window_;
  std::uint64_t window_begin_ = 0;
  std::size_t kept_ = 0;
};

}  // namespace ingot

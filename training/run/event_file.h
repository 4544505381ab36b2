// Event files as TensorBoard reads them: records of TensorFlow's TFRecord format (length, masked
// CRC-32C, bytes, masked CRC-32C), each a protobuf message tensorflow.Event, written by hand: the
// few fields that scalars need.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "io/append_file.h"

namespace ingot {

// One protobuf message in a fixed buffer; allocates nothing. What does not fit is left out whole.
class EventMessage {
 public:
  // Seconds since 1970.
  EventMessage(double wall_time, std::int64_t step);

  // The file's first message.
  void file_version();
  // The writer starts with this step: readers forget what an earlier file has from there on.
  void session_start();
  // NaN and infinity are values, too.
  void scalar(std::string_view tag, float value);

  std::string_view bytes() const { return {bytes_.data(), size_}; }

 private:
  void put(std::uint8_t byte);
  void put_varint(std::uint64_t value);
  void put_text(std::uint8_t key, std::string_view text);

  std::array<char, 1024> bytes_;
  std::size_t size_ = 0;
};

// CRC-32C (Castagnoli), rotated and offset as TFRecord does, so that a record of records keeps good
// checksums.
std::uint32_t masked_crc32c(std::string_view bytes);

class EventFile {
 public:
  // Creates DIRECTORY/events.out.tfevents.SECONDS.ingot.STEP for what comes after `step`. Throws
  // Error(device).
  EventFile(const std::filesystem::path& directory, std::int64_t step);

  // A message of now, to fill and to write.
  static EventMessage message(std::int64_t step);
  // As AppendFile: records that a full disk refuses wait, or are lost. Allocates nothing.
  bool write(const EventMessage& message);

 private:
  AppendFile file_;
};

}  // namespace ingot

#include "training/run/event_file.h"

#include <bit>
#include <chrono>
#include <cstring>
#include <string>

namespace ingot {
namespace {

// Keys of protobuf fields: number * 8 + wire type (0 varint, 1 eight bytes, 2 length and bytes, 5
// four bytes). Of tensorflow.Event:
constexpr std::uint8_t kWallTime = 1 * 8 + 1, kStep = 2 * 8 + 0, kFileVersion = 3 * 8 + 2,
                       kSummary = 5 * 8 + 2, kSessionLog = 7 * 8 + 2;
// Of Summary, of Summary.Value, of SessionLog.
constexpr std::uint8_t kValue = 1 * 8 + 2;
constexpr std::uint8_t kTag = 1 * 8 + 2, kSimpleValue = 2 * 8 + 5;
constexpr std::uint8_t kStatus = 1 * 8 + 0, kStart = 1;

constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0u);
    table[byte] = crc;
  }
  return table;
}();

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string file_name(std::int64_t step) {
  return "events.out.tfevents." + std::to_string(static_cast<std::int64_t>(now())) + ".ingot." +
         std::to_string(step);
}

template <class Number>
std::array<char, sizeof(Number)> little_endian(Number value) {
  static_assert(std::endian::native == std::endian::little);
  return std::bit_cast<std::array<char, sizeof(Number)>>(value);
}

template <class Number>
char* copy_to(char* to, Number value) {
  const auto bytes = little_endian(value);
  std::memcpy(to, bytes.data(), bytes.size());
  return to + bytes.size();
}

}  // namespace

std::uint32_t masked_crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char c : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<std::uint8_t>(c)) & 255];
  return std::rotr(~crc, 15) + 0xa282ead8u;
}

EventMessage::EventMessage(double wall_time, std::int64_t step) {
  put(kWallTime);
  for (const char byte : little_endian(wall_time)) put(static_cast<std::uint8_t>(byte));
  if (step == 0) return;  // what a field that is not there stands for
  put(kStep);
  put_varint(static_cast<std::uint64_t>(step));
}

void EventMessage::put(std::uint8_t byte) { bytes_[size_++] = static_cast<char>(byte); }

void EventMessage::put_varint(std::uint64_t value) {
  for (; value >= 128; value >>= 7) put(static_cast<std::uint8_t>(value | 128));
  put(static_cast<std::uint8_t>(value));
}

void EventMessage::put_text(std::uint8_t key, std::string_view text) {
  put(key);
  put_varint(text.size());
  for (const char c : text) put(static_cast<std::uint8_t>(c));
}

void EventMessage::file_version() { put_text(kFileVersion, "brain.Event:2"); }

void EventMessage::session_start() {
  put(kSessionLog);
  put_varint(2);
  put(kStatus);
  put(kStart);
}

// Repeated fields of one message may come in pieces: each scalar is a Summary of its own, and
// readers join them.
void EventMessage::scalar(std::string_view tag, float value) {
  constexpr std::size_t kMostTag = 64;  // lengths below fit a byte
  const std::size_t value_bytes = 2 + tag.size() + 1 + sizeof value;
  if (tag.size() > kMostTag || size_ + value_bytes + 4 > bytes_.size()) return;
  put(kSummary);
  put_varint(value_bytes + 2);
  put(kValue);
  put_varint(value_bytes);
  put_text(kTag, tag);
  put(kSimpleValue);
  for (const char byte : little_endian(value)) put(static_cast<std::uint8_t>(byte));
}

EventFile::EventFile(const std::filesystem::path& directory, std::int64_t step)
    : file_(directory / file_name(step)) {
  EventMessage version(now(), 0);
  version.file_version();
  write(version);
  EventMessage start = message(step + 1);
  start.session_start();
  write(start);
}

EventMessage EventFile::message(std::int64_t step) { return {now(), step}; }

bool EventFile::write(const EventMessage& message) {
  const std::string_view bytes = message.bytes();
  std::array<char, sizeof(std::uint64_t) + 2 * sizeof(std::uint32_t) + 1024> record;
  char* const length = record.data();
  char* at = copy_to(length, static_cast<std::uint64_t>(bytes.size()));
  at = copy_to(at, masked_crc32c({length, sizeof(std::uint64_t)}));
  at = std::copy(bytes.begin(), bytes.end(), at);
  at = copy_to(at, masked_crc32c(bytes));
  return file_.append({length, static_cast<std::size_t>(at - length)});
}

}  // namespace ingot

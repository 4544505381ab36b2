#include "training/run/event_file.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <filesystem>
#include <string>

#include "io/test_folder.h"

namespace ingot {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    text += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return text;
}

// RFC 3720, B.4: 32 bytes of zeros, of ones, and 0 to 31; the mask undone.
TEST(EventFile, ChecksumsAreThoseOfTheStandard) {
  const auto plain = [](const std::string& bytes) {
    return std::rotl(masked_crc32c(bytes) - 0xa282ead8u, 15);
  };
  EXPECT_EQ(plain(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(plain(std::string(32, '\xff')), 0x62a8ab43u);
  std::string rising;
  for (int i = 0; i < 32; ++i) rising += static_cast<char>(i);
  EXPECT_EQ(plain(rising), 0x46dd794eu);
  EXPECT_EQ(plain("123456789"), 0xe3069283u);
}

// tensorboard 2.21.0: Event(wall_time=1.5, step=300, summary=Summary(value=[Value(tag="loss",
// simple_value=2.5)])).SerializeToString(), and the version and start messages likewise.
TEST(EventFile, MessagesHaveTheBytesOfTensorBoards) {
  EventMessage scalar(1.5, 300);
  scalar.scalar("loss", 2.5f);
  EXPECT_EQ(hex(scalar.bytes()), "09000000000000f83f10ac022a0d0a0b0a046c6f73731500002040");
  EventMessage version(1.5, 0);
  version.file_version();
  EXPECT_EQ(hex(version.bytes()), "09000000000000f83f1a0d627261696e2e4576656e743a32");
  EventMessage start(1.5, 7);
  start.session_start();
  EXPECT_EQ(hex(start.bytes()), "09000000000000f83f10073a020801");
}

TEST(EventFile, ARecordIsLengthChecksumBytesChecksum) {
  const TestFolder folder;
  EventFile file(folder / "", 12);
  EventMessage message(1.5, 300);
  message.scalar("loss", 2.5f);
  EXPECT_TRUE(file.write(message));
  const auto entry = *std::filesystem::directory_iterator(folder / "");
  EXPECT_TRUE(entry.path().filename().string().starts_with("events.out.tfevents."));
  const std::string bytes = contents_of(entry.path());
  // tensorboard's own RecordWriter wrote these bytes for this message.
  EXPECT_EQ(
      hex(bytes).substr(hex(bytes).size() - 2 * (27 + 16)),
      "1b000000000000001a0d9e1309000000000000f83f10ac022a0d0a0b0a046c6f7373150000204068997c51");
}

TEST(EventFile, WhatDoesNotFitAMessageIsLeftOutWhole) {
  EventMessage message(1, 1);
  for (int i = 0; i < 1000; ++i) message.scalar("a_tag_of_some_length", NAN);
  const std::size_t full = message.bytes().size();
  EXPECT_LE(full, 1024u);
  message.scalar("b_tag_of_some_length", 1);
  message.scalar(std::string(65, 'x'), 1);
  EXPECT_EQ(message.bytes().size(), full);
}

}  // namespace
}  // namespace ingot

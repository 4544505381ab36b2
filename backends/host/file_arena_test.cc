#include "backends/host/file_arena.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <vector>

#include "backends/host/system_memory.h"
#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

TEST(FileArena, StartsAsZerosKeepsWhatIsWrittenAndLeavesNoFile) {
  const FileArena arena(3 * kMiB + 5, ".");
  const std::span<std::byte> bytes(arena.data(), 3 * kMiB + 5);
  EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; }));
  std::memset(bytes.data(), 0x5A, bytes.size());
  read_ahead(bytes);
  EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0x5A}; }));
  for (const auto& entry : std::filesystem::directory_iterator(".")) {
    EXPECT_EQ(entry.path().filename().string().find("offload"), std::string::npos);
  }
}

// By the file and by the address they are the same bytes, in each of several arenas.
TEST(FileArena, IsReadAndWrittenByItsFile) {
  const FileArena first(kMiB, "."), second(2 * kMiB, ".");
  const std::vector<std::byte> written(100'001, std::byte{7});
  write_offloaded(second.data() + 5, written);
  EXPECT_EQ(second.data()[4], std::byte{0});
  EXPECT_EQ(second.data()[5 + 100'000], std::byte{7});
  EXPECT_EQ(first.data()[5], std::byte{0});
  second.data()[6] = std::byte{8};
  std::vector<std::byte> read(written.size());
  read_offloaded(second.data() + 5, read);
  EXPECT_EQ(read[0], std::byte{7});
  EXPECT_EQ(read[1], std::byte{8});
  write_offloaded(read.data(), std::span(written).first(2));  // no arena's memory
  EXPECT_EQ(read[1], std::byte{7});
}

// Nor of the neighbours of pieces that lie apart, as tensors do.
TEST(FileArena, WhatIsReadAndWrittenIsNotThisProcessMemory) {
  const FileArena arena(64 * kMiB, ".");
  std::vector<std::byte> piece(kMiB, std::byte{1});
  const std::int64_t before = resident_bytes();
  for (std::int64_t at = 0; at < 64 * kMiB; at += kMiB) write_offloaded(arena.data() + at, piece);
  int sum = 0;
  for (std::int64_t at = 40 << 10; at < 64 * kMiB; at += 128 << 10) {
    const auto some = std::span(piece).first(5000);
    read_offloaded(arena.data() + at, some);
    sum += static_cast<int>(some.back());
  }
  EXPECT_EQ(sum, 512);
  EXPECT_LT(resident_bytes() - before, kMiB);
}

TEST(FileArena, AFolderThatCannotHoldItIsNamed) {
  struct statvfs disk;
  ASSERT_EQ(statvfs(".", &disk), 0);
  const auto everything = static_cast<std::int64_t>(disk.f_blocks * disk.f_frsize);
  for (const auto& [folder, bytes] : {std::pair<const char*, std::int64_t>{"missing", kMiB},
                                      {"/proc", kMiB},
                                      {".", everything + kMiB}}) {
    try {
      const FileArena arena(bytes, folder);
      FAIL() << folder;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::device);
      EXPECT_NE(std::string(error.what()).find(folder), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("offload_directory"), std::string::npos);
    }
  }
}

TEST(FileArena, MemoryIsNoPlaceToOffloadTo) {
  if (!std::filesystem::is_directory("/dev/shm")) GTEST_SKIP() << "no tmpfs here";
  EXPECT_THROW(FileArena(kMiB, "/dev/shm"), Error);
}

}  // namespace
}  // namespace ingot

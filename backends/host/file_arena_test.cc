#include "backends/host/file_arena.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

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
  release_pages(bytes);
  read_ahead(bytes);
  EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0x5A}; }));
  for (const auto& entry : std::filesystem::directory_iterator(".")) {
    EXPECT_EQ(entry.path().filename().string().find("offload"), std::string::npos);
  }
}

TEST(FileArena, ReleasedPagesAreNotThisProcessMemory) {
  const FileArena arena(64 * kMiB, ".");
  const std::span<std::byte> bytes(arena.data(), 64 * kMiB);
  const std::int64_t before = resident_bytes();
  for (std::int64_t at = 0; at < 64 * kMiB; at += kMiB) {
    std::memset(bytes.data() + at, 1, kMiB);
    release_pages(bytes.subspan(at, kMiB));
  }
  EXPECT_LT(resident_bytes() - before, 8 * kMiB);
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

#include "engine/base/read_text.h"

#include <gtest/gtest.h>

#include <fstream>

namespace ingot {
namespace {

std::string problem(const std::filesystem::path& path, std::size_t limit) {
  try {
    read_text(path, ErrorCode::usage, limit);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    EXPECT_EQ(error.where(), path.string());
    return error.problem();
  }
  return "";
}

TEST(ReadText, GivesTheBytesWithinTheLimit) {
  const auto path = std::filesystem::path(testing::TempDir()) / "ten";
  std::ofstream(path) << "01234\n\r789";
  EXPECT_EQ(read_text(path, ErrorCode::data, 10), "01234\n\r789");
  EXPECT_EQ(problem(path, 9), "larger than 9 bytes");
}

TEST(ReadText, FilesWhoseSizeIsNotKnownAreReadToTheirEnd) {
  EXPECT_FALSE(read_text("/proc/self/status", ErrorCode::data, 1 << 20).empty());
  EXPECT_EQ(problem("/proc/self/status", 20), "larger than 20 bytes");
}

TEST(ReadText, WhatIsNoFileIsNamed) {
  EXPECT_EQ(problem(testing::TempDir(), 10), "a folder, not a file");
  EXPECT_EQ(problem("/dev/zero", 10), "not a file");
  EXPECT_EQ(problem("/no/such/file", 10), "no such file");
}

}  // namespace
}  // namespace ingot

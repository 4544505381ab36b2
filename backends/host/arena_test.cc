#include "backends/host/arena.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "backends/host/system_memory.h"
#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr std::int64_t kMebibyte = std::int64_t{1} << 20;

TEST(Arena, IsZeroedAlignedAndRoundedUpToPages) {
  for (const std::int64_t bytes : {std::int64_t{1}, std::int64_t{4096}, 5 * kMebibyte + 17}) {
    const Arena arena(bytes);
    EXPECT_GE(arena.size(), bytes);
    EXPECT_LT(arena.size(), bytes + sysconf(_SC_PAGESIZE));
    EXPECT_EQ(arena.size() % sysconf(_SC_PAGESIZE), 0);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.data()) % (2 * kMebibyte), 0u);
    const auto is_zero = [](std::byte b) { return b == std::byte{0}; };
    EXPECT_TRUE(std::all_of(arena.bytes().begin(), arena.bytes().end(), is_zero));
    std::memset(arena.data(), 1, static_cast<std::size_t>(arena.size()));
  }
}

TEST(Arena, OfNothingIsEmpty) {
  EXPECT_EQ(Arena(0).size(), 0);
  EXPECT_EQ(Arena().data(), nullptr);
}

// The kernel counts pages per processor and adds them up lazily: a mebibyte of slack.
TEST(Arena, IsResidentFromTheStartToTheByteAndGoneInTheEnd) {
  for (const bool huge_pages : {false, true}) {
    const std::int64_t before = resident_bytes();
    {
      const Arena arena(64 * kMebibyte, {.huge_pages = huge_pages});
      EXPECT_NEAR(resident_bytes() - before, 64 * kMebibyte, kMebibyte);
    }
    EXPECT_NEAR(resident_bytes() - before, 0, kMebibyte);
    const Arena lazy(64 * kMebibyte, {.populate = false});
    EXPECT_NEAR(resident_bytes() - before, 0, kMebibyte);
  }
}

TEST(Arena, MovesWithoutCopying) {
  Arena first(kMebibyte);
  std::byte* const data = first.data();
  Arena second(std::move(first));
  EXPECT_EQ(second.data(), data);
  EXPECT_EQ(first.data(), nullptr);
  first = std::move(second);
  EXPECT_EQ(first.data(), data);
  EXPECT_EQ(first.size(), kMebibyte);
}

std::string refusal_of(std::int64_t bytes, const ArenaOptions& options = {}) {
  try {
    const Arena arena(bytes, options);
  } catch (const Error& error) {
    return error.code() == ErrorCode::budget ? error.what() : "wrong code";
  }
  return "";
}

TEST(Arena, RefusesWhatTheMachineDoesNotHaveAndNamesTheBytes) {
  const std::int64_t too_much = read_system_memory().total + 4096;
  EXPECT_NE(refusal_of(too_much).find(std::to_string(too_much)), std::string::npos);
  EXPECT_NE(refusal_of(std::int64_t{1} << 60, {.check_available = false}), "");
  EXPECT_NE(refusal_of(-1), "");
  EXPECT_NE(refusal_of(INT64_MAX), "");
}

#ifndef __SANITIZE_ADDRESS__  // needs terabytes of address space itself
TEST(ArenaDeathTest, RefusesWhatTheProcessLimitForbids) {
  const auto limited = [] {
    const rlimit limit = {256 * kMebibyte, 256 * kMebibyte};
    setrlimit(RLIMIT_AS, &limit);
    const bool small_fits = refusal_of(kMebibyte).empty();
    _exit(small_fits && !refusal_of(512 * kMebibyte).empty() ? 4 : 1);
  };
  EXPECT_EXIT(limited(), testing::ExitedWithCode(4), "");
}
#endif

}  // namespace
}  // namespace ingot

#include "engine/base/error.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

TEST(Error, SaysWhatWhereAndHowToMendOnOneLine) {
  const Error error(ErrorCode::data, "no such file", "a/b.bin", "run ingot prepare");
  EXPECT_STREQ(error.what(), "no such file (a/b.bin): run ingot prepare");
  EXPECT_STREQ(Error(ErrorCode::usage, "bad flag").what(), "bad flag");
}

TEST(Error, KeepsControlCharactersOfFilesOutOfTheTerminal) {
  EXPECT_STREQ(Error(ErrorCode::data, "key 'a\nb\x1b[2J'").what(), "key 'a\\nb\\x1b[2J'");
}

}  // namespace
}  // namespace ingot

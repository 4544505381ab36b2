#include "engine/base/mistakes.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

TEST(Nearest, FindsSwappedMissingAndWrongLetters) {
  const std::vector<std::string_view> keys = {"steps", "warmup_steps", "type", "final_ratio"};
  EXPECT_EQ(nearest("warmup_step", keys), "warmup_steps");
  EXPECT_EQ(nearest("tpye", keys), "type");
  EXPECT_EQ(nearest("final-ratio", keys), "final_ratio");
  EXPECT_EQ(nearest("Steps", keys), "steps");
}

TEST(Nearest, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest("learning_rate", {"steps", "type"}), "");
  EXPECT_EQ(nearest("", {"steps"}), "");
  EXPECT_EQ(nearest(std::string(1000, 'a'), {"steps"}), "");
}

TEST(Mistake, ReadsAsPlaceProblemAndMend) {
  const Mistake mistake = {"unknown key \"a\"", "run.json:7", "did you mean \"b\"?"};
  EXPECT_EQ(mistake.text(), "run.json:7: unknown key \"a\": did you mean \"b\"?");
  EXPECT_EQ((Mistake{"two\nlines", "", ""}).text(), "two\\nlines");
}

TEST(ConfigError, ShowsTheFirstMistakeAndCountsTheOthers) {
  const ConfigError one(ErrorCode::usage, {{"a is 1", "run.json:2", "an even number"}});
  EXPECT_STREQ(one.what(), "a is 1 (run.json:2): an even number");
  const ConfigError two(ErrorCode::data, {{"a is 1", "x:2", "even"}, {"b is 2", "x:3", "odd"}});
  EXPECT_STREQ(two.what(), "a is 1 (x:2): even (and 1 more)");
  EXPECT_EQ(two.code(), ErrorCode::data);
  EXPECT_EQ(two.mistakes(), (std::vector<std::string>{"x:2: a is 1: even", "x:3: b is 2: odd"}));
}

TEST(Clipped, CutsBetweenCharacters) {
  EXPECT_EQ(clipped("short"), "short");
  std::string text(56, 'a');
  text += "\u00e9\u00e9\u00e9\u00e9";  // two bytes each: byte 57 is inside the first
  EXPECT_EQ(clipped(text), std::string(56, 'a') + "...");
}

}  // namespace
}  // namespace ingot

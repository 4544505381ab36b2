#include "tests/fuzz/mutate.h"

#include <gtest/gtest.h>

#include <set>

namespace ingot::fuzz {
namespace {

constexpr std::string_view kSeed = R"({"version": 1, "list": [1, 2, {"a": "b"}], "text": "hello"})";

TEST(Mutate, SameSeedGivesSameInputs) {
  Rng a(7), b(7);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(mutate(kSeed, a), mutate(kSeed, b));
}

TEST(Mutate, InputsAreManyAndBounded) {
  Rng rng(1);
  std::set<std::string> seen;
  for (int i = 0; i < 10000; ++i) {
    const std::string text = mutate(kSeed, rng);
    ASSERT_LT(text.size(), 1u << 20);
    seen.insert(text);
  }
  EXPECT_GT(seen.size(), 7000u);
  EXPECT_GT(seen.rbegin()->size(), 0u);
}

TEST(Mutate, EmptyAndBinarySeedsAreFine) {
  Rng rng(2);
  const std::string binary("\x08\0\0\0\0\0\0\0{}", 10);
  for (int i = 0; i < 5000; ++i) {
    mutate("", rng);
    mutate(binary, kSeed, rng);
  }
}

}  // namespace
}  // namespace ingot::fuzz

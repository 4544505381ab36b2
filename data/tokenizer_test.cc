// Expectations in testdata/NAME.ids.json come from Hugging Face tokenizers 0.23.3,
// encode(add_special_tokens=False) of testdata/NAME.json for each of testdata/texts.json.
#include "data/tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/error.h"
#include "tests/fuzz/mutate.h"

namespace ingot {
namespace {

using Ids = std::vector<std::uint32_t>;

const std::string kFolder = "data/testdata/";

nlohmann::json read_json(const std::string& name) {
  return nlohmann::json::parse(std::ifstream(kFolder + name));
}

class EveryKind : public testing::TestWithParam<const char*> {
 protected:
  Tokenizer tokenizer = Tokenizer::load(kFolder + GetParam() + ".json");
};

TEST_P(EveryKind, EncodesLikeHuggingFaceTokenizers) {
  const auto texts = read_json("texts.json").get<std::vector<std::string>>();
  const auto expected = read_json(std::string(GetParam()) + ".ids.json").get<std::vector<Ids>>();
  ASSERT_EQ(texts.size(), expected.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer.encode(texts[i]), expected[i])
        << "text " << i << ": " << nlohmann::json(texts[i]);
  }
}

TEST_P(EveryKind, SecondTimeGivesTheSameFromTheCache) {
  for (const auto& text : read_json("texts.json").get<std::vector<std::string>>()) {
    EXPECT_EQ(tokenizer.encode(text), tokenizer.encode(text));
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, EveryKind,
                         testing::Values("gpt2", "gpt2_prefix", "llama3", "qwen2", "deepseek_v3",
                                         "deepseek_v2", "mixed", "inverted"));

TEST(Tokenizer, KeepsEveryByteWithoutNormalizer) {
  fuzz::Rng rng(3);
  for (const char* name : {"llama3", "deepseek_v3", "deepseek_v2"}) {
    const Tokenizer tokenizer = Tokenizer::load(kFolder + name + ".json");
    for (const auto& text : read_json("texts.json").get<std::vector<std::string>>()) {
      for (int i = 0; i < 20; ++i) {
        const std::string bytes = fuzz::mutate(text, rng).substr(0, 5000);
        ASSERT_EQ(tokenizer.decode(tokenizer.encode(bytes)), bytes) << name;
      }
    }
  }
}

}  // namespace
}  // namespace ingot

#include "io/companion_files.h"

#include <gtest/gtest.h>

#include <set>

#include "io/test_folder.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

std::set<std::string> names_of(const CompanionFiles& files) {
  std::set<std::string> names;
  for (const auto& [name, contents] : files) names.insert(name);
  return names;
}

TEST(CompanionFiles, AllThatBelongsToAModelIsFoundAndNothingElse) {
  const TestFolder folder;
  const std::set<std::string> of_tokenizer = {"tokenizer.json",
                                              "tokenizer_config.json",
                                              "special_tokens_map.json",
                                              "added_tokens.json",
                                              "vocab.json",
                                              "merges.txt",
                                              "tokenizer.model",
                                              "qwen.tiktoken",
                                              "chat_template.jinja",
                                              "tekken.json",
                                              "tokenization_mine.py",
                                              "additional_chat_templates/tool_use.jinja"};
  const std::set<std::string> of_model = {"config.json",
                                          "generation_config.json",
                                          "preprocessor_config.json",
                                          "configuration_mine.py",
                                          "README.md",
                                          "LICENSE",
                                          "LICENSE-MODEL",
                                          "NOTICE.txt"};
  fs::create_directories(folder / "additional_chat_templates");
  fs::create_directories(folder / "original");
  for (const char* other :
       {"manifest.json", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
        "pytorch_model.bin.index.json", "trainer_state.json", "train_results.json",
        ".gitattributes", "optimizer.pt", "original/params.json",
        "additional_chat_templates/notes.md"}) {
    put_file(folder / other, "other");
  }
  for (const auto* names : {&of_tokenizer, &of_model}) {
    for (const std::string& name : *names) put_file(folder / name, "this is " + name);
  }
  const CompanionFiles files = read_companions(folder.path());
  std::set<std::string> all = of_tokenizer;
  all.insert(of_model.begin(), of_model.end());
  EXPECT_EQ(names_of(files), all);
  for (const auto& [name, contents] : files) EXPECT_EQ(contents, "this is " + name);
  EXPECT_EQ(names_of(read_tokenizer_companions(folder.path())), of_tokenizer);
}

// As in the hub's cache.
TEST(CompanionFiles, LinksAreFollowed) {
  const TestFolder folder;
  put_file(folder / "blob", "text");
  fs::create_symlink(folder / "blob", folder / "chat_template.jinja");
  fs::create_symlink(folder / "nothing", folder / "vocab.json");
  EXPECT_EQ(read_companions(folder.path()), (CompanionFiles{{"chat_template.jinja", "text"}}));
}

TEST(CompanionFiles, WhatIsTooLargeIsNone) {
  const TestFolder folder;
  put_file(folder / "data.json", "");
  fs::resize_file(folder / "data.json", std::uintmax_t{64} << 20);
  EXPECT_TRUE(read_companions(folder.path()).empty());
}

TEST(CompanionFiles, NoFolderHoldsNone) { EXPECT_TRUE(read_companions("/no/such/folder").empty()); }

}  // namespace
}  // namespace ingot

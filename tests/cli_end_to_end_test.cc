// From text to text, as a user goes: prepare, train with validation and samples, eval, generate,
// export, import.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/checkpoint_files.h"
#include "tests/subprocess.h"
#include "tests/tiny_run.h"

namespace ingot {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

class EndToEnd : public testing::Test {
 protected:
  void SetUp() override {
    std::string text;
    for (int i = 0; i < 400; ++i) {
      text += "template <typename T" + std::to_string(i % 7) + ">\nstruct Box" +
              std::to_string(i % 5) + " { T" + std::to_string(i % 7) + " value; };\n\n";
    }
    std::filesystem::create_directory(folder_ / "text");
    put_file(folder_ / "text/one.h", text.substr(0, text.size() / 2));
    put_file(folder_ / "text/two.h", text.substr(text.size() / 2));
    expect_success({"prepare", "--input", path("text"), "--tokenizer", "train", "--vocab", "300",
                    "--validation", "0.2", "--output", path("data")});
    json model = json::parse(tiny_model("deepseek_v3"));
    model["vocab_size"] = 320;  // more than the tokenizer has
    const json run = {{"model", model},
                      {"data",
                       {{"train", {"data/train-*.bin"}},
                        {"validation", {"data/validation-*.bin"}},
                        {"sequence_length", 32},
                        {"validation_tokens", 0}}},
                      {"batch", {{"tokens_per_step", 256}}},
                      {"optimizer", {{"learning_rate", 1e-2}}},
                      {"schedule", {{"warmup_steps", 10}, {"steps", 60}}},
                      {"precision", {{"compute", "fp32"}}},
                      {"checkpoint", {{"directory", "run"}, {"every", 20}}},
                      {"log",
                       {{"every", 5},
                        {"validate_every", 15},
                        {"sample_every", 30},
                        {"sample_prompt", "struct"},
                        {"sample_tokens", 20}}}};
    put_file(folder_ / "run.json", run.dump(1));
  }

  std::string path(const std::string& name) const { return folder_ / name; }

  std::string expect_success(const Words& words) const {
    const ProcessResult result = run_ingot(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }

  std::string generate(const std::string& model, const Words& more = {}) const {
    Words words = {"generate",     "--checkpoint", path(model),     "--prompt", "template <",
                   "--max-tokens", "24",           "--temperature", "0"};
    words.insert(words.end(), more.begin(), more.end());
    return expect_success(words);
  }

  TestFolder folder_{fast_temporary_folder()};
};

TEST_F(EndToEnd, TextBecomesAModelThatWritesText) {
  const std::string said = expect_success({"train", path("run.json")});
  EXPECT_NE(said.find("memory plan"), std::string::npos);
  EXPECT_NE(said.find("memory: predicted peak"), std::string::npos);
  EXPECT_NE(said.find("--- sample at step 30\nstruct"), std::string::npos) << said;
  EXPECT_NE(said.find("--- sample at step 60\nstruct"), std::string::npos);
  const auto validation = metric(path("run"), "validation_loss");
  ASSERT_EQ(validation.size(), 4u);
  EXPECT_LT(validation.back(), 0.5 * validation.front());
  for (const double ratio : metric(path("run"), "expert_load_max_over_mean")) {
    EXPECT_GE(ratio, 1);
    EXPECT_LE(ratio, 8);
  }

  // eval counts each token of the validation shards once, as the trainer did.
  const json eval = json::parse(expect_success(
      {"eval", "--checkpoint", path("run"), "--data", path("data/validation-*.bin"), "--json"}));
  EXPECT_NEAR(eval["loss"], validation.back(), 1e-5);

  const std::string text = generate("run");
  EXPECT_TRUE(text.starts_with("template <typename T")) << text;
  EXPECT_EQ(generate("run/step_00000060"), text);
  EXPECT_TRUE(generate("run", {"--int8"}).starts_with("template <typename T"));
  expect_success({"export", path("run"), path("hf"), "--dtype", "fp32"});
  EXPECT_EQ(generate("hf"), text);  // its tokenizer came along
  expect_success({"import", path("hf"), path("imported")});
  EXPECT_EQ(generate("imported"), text);

  // The multi-token-prediction module survives, too: as does every weight, bit for bit.
  auto weights = checkpoint_contents(path("run/step_00000060"));
  const auto imported = checkpoint_contents(path("imported/step_00000000"));
  EXPECT_TRUE(imported.contains("model.layers.2.eh_proj.weight"));
  std::erase_if(weights, [](const auto& tensor) {
    return tensor.first.ends_with("_moment") || tensor.first == "trainer";
  });
  for (const auto& [name, bytes] : weights) EXPECT_EQ(imported.at(name), bytes) << name;
  EXPECT_EQ(imported.size(), weights.size());  // and no trainer has been there
}

TEST_F(EndToEnd, FlagsThatHaveNoEffectAreNamed) {
  expect_success({"train", path("run.json"), "--quiet", "--steps", "2"});
  const Words writing = {"generate", "--checkpoint", path("run"), "--prompt", "template"};
  Words greedy = writing;
  greedy.insert(greedy.end(), {"--max-tokens", "4"});
  const auto said = [&](const Words& words, const Words& more) {
    Words all = words;
    all.insert(all.end(), more.begin(), more.end());
    const ProcessResult result = run_ingot(all);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.err;
  };
  EXPECT_EQ(said(greedy, {}), "");
  EXPECT_EQ(said(greedy, {"--temperature", "1", "--top-p", "0.9", "--seed", "3"}), "");
  EXPECT_EQ(said(greedy, {"--top-p", "0.9", "--seed", "3"}),
            "ingot: warning: --top-p, --seed: no effect without --temperature, the likeliest token "
            "is taken\n");
  EXPECT_NE(said(greedy, {"--top-k", "4"}).find("--top-k: no effect"), std::string::npos);
  EXPECT_NE(said(greedy, {"--samples", "2"}).find("--samples without --temperature"),
            std::string::npos);
  // The model was made for 64 positions.
  EXPECT_NE(said(writing, {"--max-tokens", "80"}).find("max_position_embeddings"),
            std::string::npos);
  EXPECT_NE(said({"eval", "--checkpoint", path("run"), "--data", path("data/validation-*.bin")},
                 {"--sequence", "100"})
                .find("made for 64 tokens"),
            std::string::npos);
  EXPECT_NE(said({"train", path("run.json"), "--steps", "90"}, {}).find("schedule.steps is 60"),
            std::string::npos);
  EXPECT_EQ(said({"plan", path("run.json"), "--set", "schedule.decay_steps=3"}, {}),
            "ingot: warning: schedule.decay_steps has no effect without schedule.type \"wsd\"\n");
  const std::string tokenizer = path("data/tokenizer.json");
  EXPECT_NE(said({"prepare", "--input", path("text"), "--tokenizer", tokenizer, "--vocab", "9",
                  "--output", path("again")},
                 {})
                .find("--vocab has no effect"),
            std::string::npos);
  EXPECT_NE(expect_success({"prepare", "--input", path("text"), "--tokenizer", tokenizer, "--field",
                            "body", "--output", path("third")})
                .find("note: --field has no effect"),
            std::string::npos);
  EXPECT_NE(said({"tokenize", "--tokenizer", tokenizer, "--text", "a", "--field", "x"}, {})
                .find("--field has no effect"),
            std::string::npos);
  expect_failure(run_ingot({"generate", "--checkpoint", path("run"), "--prompt", "a",
                            "--temperature", "1e-50"}),
                 2, {"1e-50", "fp32"});
}

TEST_F(EndToEnd, ASamplePromptOfAnyLengthHasRoom) {
  std::string prompt;
  for (int i = 0; i < 60; ++i) prompt += "template <typename T3> ";
  const ProcessResult result =
      run_ingot({"train", path("run.json"), "--steps", "2", "--set", "log.sample_every=2", "--set",
                 "log.sample_prompt=" + prompt});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("--- sample at step 2\n" + prompt), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("the model has max_position_embeddings 64"), std::string::npos);
}

TEST_F(EndToEnd, ValidationAndSamplesLeaveTrainingAlone) {
  expect_success({"train", path("run.json"), "--quiet", "--steps", "20"});
  expect_success({"train", path("run.json"), "--quiet", "--steps", "20", "--set",
                  "checkpoint.directory=" + path("plain"), "--set", "log.validate_every=0", "--set",
                  "log.sample_every=0"});
  expect_success({"train", path("run.json"), "--quiet", "--steps", "20", "--set",
                  "checkpoint.directory=" + path("often"), "--set", "log.validate_every=2", "--set",
                  "log.sample_every=3"});
  const auto expected = checkpoint_contents(path("plain/step_00000020"));
  EXPECT_EQ(checkpoint_contents(path("run/step_00000020")), expected);
  EXPECT_EQ(checkpoint_contents(path("often/step_00000020")), expected);
}

TEST_F(EndToEnd, TrainingGoesOnFromAnImportedModel) {
  expect_success({"train", path("run.json"), "--quiet", "--steps", "40"});
  expect_success({"export", path("run"), path("hf"), "--dtype", "fp32"});
  expect_success({"import", path("hf"), path("imported")});
  const std::string said = expect_success(
      {"train", path("run.json"), "--resume", path("imported/step_00000000"), "--steps", "5",
       "--set", "checkpoint.directory=" + path("finetuned"), "--set", "log.every=1"});
  EXPECT_NE(said.find("resumed from " + path("imported/step_00000000")), std::string::npos);
  const auto losses = metric(path("finetuned"), "loss");
  ASSERT_EQ(losses.size(), 5u);
  EXPECT_LT(losses.front(), 0.6 * metric(path("run"), "loss").front());
}

TEST_F(EndToEnd, BenchStepPrintsTheContractsNumbers) {
  const json result = json::parse(expect_success(
      {"bench", "step", path("run.json"), "--steps", "2", "--warmup", "1", "--json"}));
  for (const char* name : {"tokens_per_second", "step_seconds", "mfu", "arena_bytes",
                           "peak_rss_bytes", "parameters"}) {
    EXPECT_GT(result.at(name).get<double>(), 0) << name;
  }
}

}  // namespace
}  // namespace ingot

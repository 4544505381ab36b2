// Broken run configs and config.json files give an Error or a valid config, nothing else.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/base/error.h"
#include "engine/base/json.h"
#include "engine/config/config.h"
#include "engine/model/model_config.h"
#include "tests/fuzz/mutate.h"

namespace ingot {
namespace {

constexpr int kInputs = 20'000;  // of each kind

std::vector<std::string> files_in(const std::vector<const char*>& folders) {
  std::vector<std::filesystem::path> paths;
  for (const char* const folder : folders) {
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      paths.push_back(file.path());
    }
  }
  std::sort(paths.begin(), paths.end());  // the folder's own order is the file system's
  std::vector<std::string> texts;
  for (const auto& path : paths) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    texts.push_back(text.str());
  }
  return texts;
}

// Calls read(text) with mutations of `seeds`; returns how many were accepted.
template <class Read>
int survive(int inputs, const std::vector<std::string>& seeds, const Read& read) {
  fuzz::Rng rng(20261121);
  int accepted = 0;
  for (int i = 0; i < inputs; ++i) {
    const std::string& seed = seeds[rng.below(seeds.size())];
    const std::string text = fuzz::mutate(seed, seeds[rng.below(seeds.size())], rng);
    try {
      read(text);
      ++accepted;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage) << text;
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      EXPECT_LT(std::string(error.what()).size(), 6000u);  // a path may have 4096
    }
  }
  return accepted;
}

TEST(ConfigMutation, RunConfigIsReadOrRefused) {
  std::vector<std::string> seeds = files_in({"configs/runs", "configs/bench"});
  const RunConfig whole = load_run_config("configs/runs/deepseek_v3_tiny.json");
  seeds.push_back(to_json(whole).dump());
  ASSERT_GT(seeds.size(), 5u);
  const int accepted = survive(kInputs, seeds, [](const std::string& text) {
    const RunConfig config = parse_run_config(text, "run.json", "configs/runs");
    const auto json = to_json(config);  // what was accepted is valid, and reads back
    EXPECT_EQ(to_json(parse_run_config(json.dump(), "again.json", "")), json) << text;
  });
  EXPECT_GT(accepted, kInputs / 100);  // else the mutations test the JSON parser only
  EXPECT_LT(accepted, kInputs * 9 / 10);
}

TEST(ConfigMutation, ModelConfigIsReadOrRefused) {
  const std::vector<std::string> seeds = files_in({"configs/models"});
  ASSERT_GT(seeds.size(), 10u);
  const int accepted = survive(kInputs, seeds, [](const std::string& text) {
    const auto json = parse_json(text, "config.json", ErrorCode::usage, {.bytes = 1 << 20});
    ModelConfig config = parse_model_config(json, "config.json");
    EXPECT_GT(count_parameters(config).total, 0) << text;
    EXPECT_GT(training_flops_per_token(config, 4096, true), 0) << text;
    config.quantization.reset();
    EXPECT_EQ(parse_model_config(to_hf_json(config), "again"), config) << text;
  });
  EXPECT_GT(accepted, kInputs / 100);
  EXPECT_LT(accepted, kInputs * 9 / 10);
}

TEST(ConfigMutation, OverrideIsReadOrRefused) {
  const std::vector<std::string> seeds = {"optimizer.learning_rate=1e-3",
                                          "data.train=[\"a-*.bin\", \"b.bin\"]",
                                          "model.rope_scaling={\"type\":\"yarn\",\"factor\":40}",
                                          "memory.budget=12.5GiB",
                                          "loss.mtp_weight=[[0,0.3],[100,0.1]]",
                                          "model.eos_token_id=[1,2]",
                                          "model=models/llama_tiny.json"};
  const std::string run = R"({"model": {"model_type": "deepseek_v3"}})";
  survive(5'000, seeds,
          [&](const std::string& text) { parse_run_config(run, "run.json", "", {text}); });
}

}  // namespace
}  // namespace ingot

// A training run small enough for a test: a model of every family, shards of learnable tokens, a
// run.json for the program, and ways to look at what a run left behind.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "engine/config/config.h"
#include "io/test_folder.h"
#include "training/steps/training_engine.h"
#include "training/trainer.h"

namespace ingot {

inline constexpr const char* kFamilies[] = {"llama", "qwen2", "qwen3", "deepseek_v2",
                                            "deepseek_v3"};

// The text of a config.json: 2 layers, hidden size 32, vocabulary 64; deepseek_v3 with one MTP
// module.
std::string tiny_model(const std::string& family);

// A folder with data/train-*.bin (23 samples of 16 tokens, in two shards), data/validation-*.bin,
// model.json and run.json: 4 sequences a step in micro-batches of 2, so that step 6 crosses from
// the first epoch into the second in the middle of a micro-batch. Saves every step, keeps all.
class TinyRun {
 public:
  explicit TinyRun(const std::string& family = "llama", const std::string& compute = "fp32");

  const TestFolder& folder() const { return folder_; }
  std::filesystem::path config_file() const { return folder_ / "run.json"; }
  // Where the run of that name saves.
  std::filesystem::path directory(const std::string& name) const { return folder_ / name; }
  RunConfig config(const std::string& name, std::vector<std::string> overrides = {}) const;

  // Trains and returns train()'s result. Says nothing unless options.quiet is set to false.
  int train(const std::string& name, const std::vector<std::string>& overrides = {},
            TrainOptions options = {.threads = 2, .quiet = true}) const;

 private:
  TestFolder folder_{fast_temporary_folder()};
};

// A backend of all kernels.
cpu::CpuBackend tiny_backend(int threads);

// Pseudo-random walks in which most steps follow a rule: there is something to learn.
std::vector<std::uint32_t> learnable_tokens(std::size_t count, std::uint32_t vocabulary,
                                            std::uint64_t seed);

// All of a checkpoint that must be the same when two runs were: each tensor's bytes by name, and
// "trainer" of its manifest.
std::map<std::string, std::string> checkpoint_contents(const std::filesystem::path& checkpoint);

// A run's metrics.jsonl without what depends on the clock and the process: one line for each
// logged step.
std::vector<std::string> timeless_metrics(const std::filesystem::path& directory);

// One number of each line of metrics.jsonl that has it.
std::vector<double> metric(const std::filesystem::path& directory, const std::string& name);

// 'data.train=["/a/b.bin"]' and the like, as --set takes it.
std::string setting(const std::string& key, const std::string& json);

}  // namespace ingot

// The memory budget of a running program: SIGUSR1 makes it read the config again and go on in less
// memory, with the same samples.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/shards/shard_testing.h"
#include "tests/subprocess.h"
#include "tests/tiny_run.h"

namespace ingot {
namespace {

using nlohmann::json;

constexpr std::int64_t kSteps = 40;

class Replan : public testing::Test {
 protected:
  void SetUp() override {
    write_shard(folder_ / "train", learnable_tokens(200'000, 512, 1), 512);
    config_ = {{"model",
                {{"model_type", "llama"},
                 {"vocab_size", 512},
                 {"hidden_size", 64},
                 {"intermediate_size", 176},
                 {"num_hidden_layers", 6},
                 {"num_attention_heads", 4},
                 {"num_key_value_heads", 4},
                 {"max_position_embeddings", 256}}},
               {"data", {{"train", {folder_ / "train.bin"}}, {"sequence_length", 256}}},
               {"batch", {{"tokens_per_step", 4096}, {"micro_batch", 16}}},
               {"optimizer", {{"learning_rate", 3e-3}}},
               {"schedule", {{"steps", kSteps}, {"warmup_steps", 2}}},
               {"memory", {{"offload", "none"}}},
               {"checkpoint", {{"every", 0}}},
               {"log", {{"every", 1}}}};
  }

  // Writes run-NAME.json with this budget.
  std::string write(const std::string& name, const json& budget) {
    json config = config_;
    config["memory"]["budget"] = budget;
    config["checkpoint"]["directory"] = folder_ / name;
    const std::string path = folder_ / ("run-" + name + ".json");
    std::ofstream(path) << config.dump(1);
    return path;
  }

  std::int64_t needed(const std::string& name, const std::string& activations) {
    const ProcessResult planned = run_ingot(
        {"plan", write(name, "8GiB"), "--set", "memory.activations=" + activations, "--json"});
    EXPECT_EQ(planned.exit_code, 0) << planned.err;
    return json::parse(planned.out)["predicted_peak_rss_bytes"];
  }

  ProcessOptions after_lines(const std::string& name, std::size_t lines,
                             std::function<void(pid_t)> act) {
    return {.while_running = [=, this](pid_t child) {
      for (int i = 0; i < 20000; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        const auto log = folder_ / name / "metrics.jsonl";
        if (std::filesystem::exists(log) && metric(folder_ / name, "loss").size() >= lines) break;
      }
      act(child);
    }};
  }

  TestFolder folder_{fast_temporary_folder()};
  json config_;
};

TEST_F(Replan, ASmallerBudgetIsKeptFromTheNextStepOnWithTheSameLossCurve) {
  const std::int64_t all = needed("whole", "keep"), least = needed("whole", "recompute");
  const std::int64_t between = (all + least) / 2;
  ASSERT_GT(all - least, 16 << 20);
  ASSERT_EQ(run_ingot({"train", write("whole", "8GiB")}).exit_code, 0);

  const std::string path = write("shrunk", "8GiB");
  const ProcessResult shrunk =
      run_ingot({"train", path}, after_lines("shrunk", 5, [&](pid_t child) {
                  write("shrunk", between);
                  ::kill(child, SIGUSR1);
                }));
  ASSERT_EQ(shrunk.exit_code, 0) << shrunk.err;
  EXPECT_NE(shrunk.out.find("the memory budget changed"), std::string::npos);
  const auto budgets = metric(folder_ / "shrunk", "budget_bytes");
  const auto arenas = metric(folder_ / "shrunk", "arena_bytes");
  ASSERT_EQ(budgets.size(), static_cast<std::size_t>(kSteps));
  EXPECT_EQ(budgets.back(), static_cast<double>(between));
  EXPECT_LT(arenas.back(), arenas.front());
  EXPECT_LE(arenas.back(), static_cast<double>(between));
  const auto expected = metric(folder_ / "whole", "loss"),
             losses = metric(folder_ / "shrunk", "loss");
  for (std::size_t step = 0; step < losses.size(); ++step) {
    // Until then the same bits; then 8-bit activations and another split of sums may differ by
    // far less than one step's progress.
    EXPECT_NEAR(losses[step], expected[step], step < 5 ? 0 : 0.02 * expected[step]) << step;
  }
}

TEST_F(Replan, ABudgetThatIsTooSmallLeavesTheRunAsItIs) {
  const std::string path = write("run", "8GiB");
  const ProcessResult result = run_ingot({"train", path}, after_lines("run", 5, [&](pid_t child) {
                                           write("run", 1 << 20);
                                           ::kill(child, SIGUSR1);
                                         }));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("smallest budget"), std::string::npos) << result.out;
  EXPECT_EQ(metric(folder_ / "run", "loss").size(), static_cast<std::size_t>(kSteps));
}

TEST_F(Replan, AConfigThatCannotBeReadLeavesTheRunAsItIs) {
  for (const char* text : {"{\"memory", R"({"memory": {"budget": -5}})"}) {
    const std::string path = write("run", "8GiB");
    const ProcessResult result = run_ingot({"train", path}, after_lines("run", 5, [&](pid_t child) {
                                             put_file(path, text);
                                             ::kill(child, SIGUSR1);
                                           }));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out.find("the run goes on as it was"), std::string::npos) << result.out;
    EXPECT_EQ(metric(folder_ / "run", "loss").size(), static_cast<std::size_t>(kSteps));
    std::filesystem::remove_all(folder_ / "run");
  }
}

TEST_F(Replan, AResumedRunTakesItsCheckpointsPlanWhateverTheBudgetAllows) {
  const std::int64_t all = needed("run", "keep"), least = needed("run", "recompute");
  const std::string path = write("run", (all + least) / 2);
  ASSERT_EQ(run_ingot({"train", path, "--steps", "2"}).exit_code, 0);
  write("run", "8GiB");
  ASSERT_EQ(run_ingot({"train", path, "--steps", "4"}).exit_code, 0);
  const auto arenas = metric(folder_ / "run", "arena_bytes");
  ASSERT_EQ(arenas.size(), 4u) << contents_of(folder_ / "run" / "metrics.jsonl");
  EXPECT_EQ(arenas.front(), arenas.back());
}

}  // namespace
}  // namespace ingot

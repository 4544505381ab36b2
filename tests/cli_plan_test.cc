// `ingot plan` tells, before anything runs, what a run then takes.
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "data/shards/shard_testing.h"
#include "planning/plan_space.h"
#include "planning/planner.h"
#include "tests/subprocess.h"
#include "tests/tiny_run.h"

namespace ingot {
namespace {

using nlohmann::json;

const char* const kTinyRuns[] = {"llama_tiny", "qwen2_tiny", "qwen3_tiny", "deepseek_v2_tiny",
                                 "deepseek_v3_tiny"};

std::string run_config(const std::string& name) { return "configs/runs/" + name + ".json"; }

std::set<std::string> keys_of(const json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

TEST(Plan, JsonHasTheKeysOfTheContract) {
  const ProcessResult result = run_ingot({"plan", run_config("deepseek_v3_tiny"), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json plan = json::parse(result.out);
  EXPECT_EQ(keys_of(plan),
            (std::set<std::string>{"parameters", "arena_bytes", "lower_bound_bytes", "breakdown",
                                   "predicted_peak_rss_bytes", "predicted_step_seconds", "choices",
                                   "rejected", "peak", "budget_bytes", "fits", "snapshot_bytes",
                                   "build", "kernels"}));
  EXPECT_EQ(plan["fits"], true);
  EXPECT_EQ(keys_of(plan["parameters"]), (std::set<std::string>{"total", "active"}));
  EXPECT_EQ(keys_of(plan["choices"]),
            (std::set<std::string>{"micro_batch", "activations", "weights", "optimizer_state",
                                   "offload", "head_chunk", "fetch_ahead"}));
  EXPECT_EQ(keys_of(plan["breakdown"]),
            (std::set<std::string>{"weight", "master", "gradient", "optimizer_state", "activation",
                                   "workspace", "communication", "input", "output"}));
  std::int64_t sum = 0;
  for (const auto& [role, bytes] : plan["breakdown"].items()) sum += bytes.get<std::int64_t>();
  EXPECT_LE(sum, plan["arena_bytes"].get<std::int64_t>());
  EXPECT_GT(sum, plan["arena_bytes"].get<std::int64_t>() * 99 / 100);
  EXPECT_GT(plan["predicted_step_seconds"].get<double>(), 0);
  EXPECT_EQ(plan["peak"]["largest"].size(), 10u);
}

TEST(Plan, RejectedChoicesSayWhatTheyWouldTake) {
  const ProcessResult whole =
      run_ingot({"plan", run_config("llama_tiny"), "--json", "--set", "batch.micro_batch=16"});
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  const std::int64_t all = json::parse(whole.out)["predicted_peak_rss_bytes"];
  const ProcessResult tight = run_ingot(
      {"plan", run_config("llama_tiny"), "--json", "--budget", std::to_string(all * 2 / 3)});
  ASSERT_EQ(tight.exit_code, 0) << tight.err;
  const json plan = json::parse(tight.out);
  EXPECT_LE(plan["predicted_peak_rss_bytes"].get<std::int64_t>(), all * 2 / 3);
  ASSERT_FALSE(plan["rejected"].empty());
  const std::int64_t process = plan["predicted_peak_rss_bytes"].get<std::int64_t>() -
                               plan["arena_bytes"].get<std::int64_t>();
  for (const json& rejected : plan["rejected"]) {
    EXPECT_EQ(keys_of(rejected), (std::set<std::string>{"choices", "arena_bytes", "why"}));
    // Too large, or slower.
    const bool fits = rejected["why"].get<std::string>().starts_with("fits");
    EXPECT_EQ(fits, rejected["arena_bytes"] <= all * 2 / 3 - process);
    EXPECT_TRUE(rejected["choices"] != plan["choices"]);
  }
}

TEST(Plan, ListsThePassesWithWhatEachMadeOfTheProgram) {
  const std::vector<std::string> arguments = {"plan", run_config("deepseek_v3_tiny"), "--passes",
                                              "--set", "precision.compute=\"int8\""};
  std::vector<std::string> with_json = arguments;
  with_json.push_back("--json");
  const ProcessResult result = run_ingot(with_json);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json plan = json::parse(result.out);
  std::vector<std::string> names;
  json before = {{"ops", 0}, {"lower_bound_bytes", 0}};
  for (const json& pass : plan["passes"]) {
    names.push_back(pass["name"]);
    EXPECT_EQ(keys_of(pass), (std::set<std::string>{"name", "why", "ops", "lower_bound_bytes"}));
    EXPECT_FALSE(pass["why"].get<std::string>().empty());
    for (const char* size : {"ops", "lower_bound_bytes"}) {
      EXPECT_EQ(pass[size]["before"], before[size]) << "left by the pass before " << names.back();
      before[size] = pass[size]["after"];
    }
  }
  EXPECT_EQ(names, (std::vector<std::string>{"build",
                                             "differentiate",
                                             "report_losses",
                                             "store_activations",
                                             "sum_gradients",
                                             "append_update",
                                             "sum_over_data_ranks",
                                             "append_evaluation",
                                             "append_generation",
                                             "mark_int8",
                                             "fuse_codes",
                                             "restore_weights",
                                             "chunk_heads",
                                             "offload",
                                             "pack_weights",
                                             "cut_into_chunks",
                                             "split_backward",
                                             "mark_frames",
                                             "schedule_queues",
                                             "check_program"}));
  EXPECT_EQ(before["lower_bound_bytes"], plan["lower_bound_bytes"]) << "of what is run";

  const ProcessResult text = run_ingot(arguments);
  ASSERT_EQ(text.exit_code, 0) << text.err;
  std::size_t at = text.out.find("MiB at least");
  for (const std::string& name : names) {
    at = text.out.find("\n  " + name + " ", at);
    ASSERT_NE(at, std::string::npos) << name;
  }
}

// "the smallest budget that fits is 96 MiB": 96.
int smallest_mebibytes(const std::string& error) {
  const std::string before = "the smallest budget that fits is ";
  const auto place = error.find(before);
  return place == std::string::npos ? -1 : std::stoi(error.substr(place + before.size()));
}

TEST(Plan, OfARunThatDoesNotFitSaysWhatItWouldNeed) {
  const std::vector<std::string> words = {"plan", run_config("llama_tiny"), "--budget", "10MiB"};
  const ProcessResult text = run_ingot(words);
  EXPECT_EQ(text.exit_code, 4);
  const int smallest = smallest_mebibytes(text.err);
  EXPECT_GT(smallest, 10);
  EXPECT_EQ(std::count(text.err.begin(), text.err.end(), '\n'), 1) << text.err;
  for (const char* part : {"parameters: ", "optimizer_state", "predicted peak", "arena"}) {
    EXPECT_NE(text.out.find(part), std::string::npos) << text.out;
  }

  std::vector<std::string> for_programs = words;
  for_programs.push_back("--json");
  const ProcessResult result = run_ingot(for_programs);
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_EQ(result.err, text.err);
  const json plan = json::parse(result.out);
  EXPECT_EQ(plan["fits"], false);
  EXPECT_EQ(plan["budget_bytes"], 10 << 20);
  EXPECT_EQ((plan["predicted_peak_rss_bytes"].get<std::int64_t>() + (1 << 20) - 1) >> 20, smallest);
  EXPECT_GT(plan["parameters"]["total"], 0);
  EXPECT_GT(plan["breakdown"]["weight"], 0);
}

// Every process plans the same: budgets below the smallest are refused, all others are taken, and
// the same one gives the same plan again.
TEST(Plan, TakesEveryBudgetFromTheSmallestOn) {
  const TestFolder folder;
  put_file(folder / "run.json", R"({"model": {"model_type": "llama", "vocab_size": 264,
    "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 4,
    "num_attention_heads": 4, "max_position_embeddings": 512},
    "data": {"sequence_length": 128}, "batch": {"tokens_per_step": 2048},
    "memory": {"offload_directory": "."}})");
  const auto plan = [&](int mebibytes) {
    // Measured once and for all, however busy this machine is.
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
      if (entry.path().parent_path().filename() != "ingot") continue;
      json costs = json::parse(contents_of(entry.path()));
      costs["doubtful"] = false;
      put_file(entry.path(), costs.dump());
    }
    return run_ingot(
        {"plan", folder / "run.json", "--json", "--budget", std::to_string(mebibytes) + "MiB"},
        {.environment = {"XDG_CACHE_HOME=" + folder.path().string()}});
  };
  const int smallest = smallest_mebibytes(plan(1).err);
  ASSERT_GT(smallest, 1);
  for (int mebibytes = smallest - 2; mebibytes < smallest + 26; ++mebibytes) {
    const ProcessResult planned = plan(mebibytes);
    EXPECT_EQ(planned.exit_code, mebibytes >= smallest ? 0 : 4) << mebibytes << planned.err;
    if (mebibytes % 4 != 0) continue;
    EXPECT_EQ(plan(mebibytes).out, planned.out) << mebibytes;
  }
}

TEST(Plan, PrintsTheWholeConfigThatGivesTheSamePlanAgain) {
  const ProcessResult printed =
      run_ingot({"plan", run_config("deepseek_v3_tiny"), "--print-config"});
  ASSERT_EQ(printed.exit_code, 0) << printed.err;
  const TestFolder folder;
  put_file(folder / "printed.json", printed.out);
  const ProcessResult again = run_ingot({"plan", folder / "printed.json", "--print-config"});
  EXPECT_EQ(again.out, printed.out) << again.err;
}

// Recipe C of docs/memory.md, with everything a step needs, the process itself included.
TEST(Plan, FitsThreeHundredMillionParametersIntoAGiB) {
  const double parameters = 8.03e9;
  const auto budget = static_cast<std::int64_t>(parameters / 300e6 * (1 << 30));
  const RunConfig config = parse_run_config(
      R"({"model": "configs/models/r1_distill_llama_8b.json", "data": {"sequence_length": 2048},
          "batch": {"tokens_per_step": 2048},
          "optimizer": {"state": "int8", "update_in_backward": true},
          "precision": {"master": "int8"},
          "memory": {"activations": "recompute", "offload": "none"}})",
      "run.json", ".", {"memory.budget=" + std::to_string(budget)});
  cpu::CpuBackend backend = tiny_backend(2);
  const PlannedTraining plan = plan_training(config, backend);
  EXPECT_LE(plan.predicted_peak_bytes(), budget);
  EXPECT_GT(static_cast<double>(count_parameters(config.model).total), parameters);
}

class ShippedConfig : public testing::TestWithParam<const char*> {};

// Of the processor's time, as other programs run beside tests.
TEST_P(ShippedConfig, PacksTheArenaWithinAQuarterPercentOfTheLowerBound) {
  RunConfig config = load_run_config(GetParam(), {"memory.budget=\"64GiB\""});
  config.batch.micro_batch = open_choices(config).batches.front();  // no choice, nothing measured
  cpu::CpuBackend backend = tiny_backend(1);
  const std::clock_t start = std::clock();
  const PlannedTraining plan = plan_training(config, backend);
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  EXPECT_LE(static_cast<double>(plan.memory.arena_bytes()),
            1.0025 * static_cast<double>(plan.memory.lower_bound_bytes));
  if (std::string(GetParam()).ends_with("tiny.json")) {
    EXPECT_LT(seconds, 1.0);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Runs, ShippedConfig,
    testing::Values("configs/runs/llama_tiny.json", "configs/runs/qwen2_tiny.json",
                    "configs/runs/qwen3_tiny.json", "configs/runs/deepseek_v2_tiny.json",
                    "configs/runs/deepseek_v3_tiny.json", "configs/runs/quickstart.json",
                    "configs/bench/dense_34m.json", "configs/bench/dense_124m.json",
                    "configs/bench/moe_48m.json"),
    [](const auto& info) {
      const std::filesystem::path path = info.param;
      return path.stem().string();
    });

class TinyConfig : public testing::TestWithParam<const char*> {};

// What the plan says, the log says, and the kernel says of the process: steps, validation and a
// save included.
TEST_P(TinyConfig, PlanArenaAndProcessAgree) {
  const TestFolder folder(fast_temporary_folder());
  write_shard(folder / "train", learnable_tokens(20'000, 512, 1), 512);
  write_shard(folder / "validation", learnable_tokens(20'000, 512, 2), 512);
  const std::string run = folder / "run";
  std::vector<std::string> words = {"train", run_config(GetParam()), "--steps", "3"};
  for (const std::string& setting :
       {"data.train=[\"" + std::string(folder / "train.bin") + "\"]",
        "data.validation=[\"" + std::string(folder / "validation.bin") + "\"]",
        "checkpoint.directory=" + run, std::string("log.every=1"),
        std::string("log.validate_every=2"), std::string("checkpoint.every=2"),
        std::string("batch.micro_batch=16")}) {
    words.push_back("--set");
    words.push_back(setting);
  }
  const ProcessResult trained = run_ingot(words);
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  words[0] = "plan";
  words.erase(words.begin() + 2, words.begin() + 4);
  words.push_back("--json");
  const ProcessResult planned = run_ingot(words);
  ASSERT_EQ(planned.exit_code, 0) << planned.err;
  const json plan = json::parse(planned.out);
  for (const double bytes : metric(run, "arena_bytes")) EXPECT_EQ(bytes, plan["arena_bytes"]);
  const auto predicted = plan["predicted_peak_rss_bytes"].get<double>();
  EXPECT_NEAR(static_cast<double>(trained.peak_bytes), predicted, 0.03 * predicted + (16 << 20));
  RecordProperty("predicted_mib", static_cast<int>(predicted / (1 << 20)));
  RecordProperty("actual_mib", static_cast<int>(trained.peak_bytes >> 20));
}

INSTANTIATE_TEST_SUITE_P(Runs, TinyConfig, testing::ValuesIn(kTinyRuns),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace ingot

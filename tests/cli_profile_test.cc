// --profile and the benchmarks of single ops: where the time goes, told by the real program.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/subprocess.h"
#include "tests/tiny_run.h"

namespace ingot {
namespace {

using nlohmann::json;

std::string directory(const TinyRun& run, const std::string& name) {
  return "checkpoint.directory=" + run.directory(name).string();
}

struct Line {
  double calls = 0, milliseconds = 0;
};

// The lines of a profile's table by op; empty when there is no table.
std::map<std::string, Line> table_of(const std::string& text, std::vector<std::string>& order) {
  std::map<std::string, Line> lines;
  std::istringstream in(text);
  std::string line;
  while (std::getline(in, line) && !line.starts_with("op  ")) continue;
  while (std::getline(in, line) && !line.starts_with("peaks: ")) {
    if (line.find("(beside)") != std::string::npos) continue;  // not in the sum
    std::istringstream words(line);
    std::string op;
    Line values;
    words >> op >> values.calls >> values.milliseconds;
    order.push_back(op);
    lines[op] = values;
  }
  return lines;
}

// A table whose lines add up, the longest first.
std::map<std::string, Line> checked_table(const std::string& text) {
  std::vector<std::string> order;
  const auto lines = table_of(text, order);
  EXPECT_GT(order.size(), 5u) << text;
  if (order.empty()) return lines;
  EXPECT_EQ(order.back(), "all");
  Line sum;
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    sum.calls += lines.at(order[i]).calls;
    sum.milliseconds += lines.at(order[i]).milliseconds;
    if (i == 0) continue;
    EXPECT_LE(lines.at(order[i]).milliseconds, lines.at(order[i - 1]).milliseconds);
  }
  EXPECT_EQ(sum.calls, lines.at("all").calls);
  const double rounding = 0.01 * static_cast<double>(order.size());  // two decimals are printed
  EXPECT_NEAR(sum.milliseconds, lines.at("all").milliseconds, rounding);
  return lines;
}

// Events of a Chrome trace by op kind, after a check that those of a row follow each other.
std::map<std::string, int> checked_trace(const std::filesystem::path& file,
                                         const std::set<std::string>& rows = {"compute"}) {
  std::map<std::string, int> counts;
  std::map<int, double> ends;
  std::set<std::string> names;
  for (const json& event : json::parse(contents_of(file))) {
    double& end = ends[event["tid"]];
    if (event["ph"] == "M") {
      names.insert(event["args"]["name"].get<std::string>());
      continue;
    }
    EXPECT_EQ(event["ph"], "X");
    EXPECT_GE(event["ts"].get<double>(), end - 1e-3);  // microseconds, printed exactly
    end = event["ts"].get<double>() + event["dur"].get<double>();
    ++counts[event["name"].get<std::string>()];
  }
  EXPECT_EQ(names, rows);
  return counts;
}

TEST(TrainProfile, TableAndTraceCountEveryOpOfFiveSteps) {
  const TinyRun run("deepseek_v3");
  const std::string trace = run.folder() / "trace.json";
  const ProcessResult result = run_ingot({"train", run.config_file(), "--profile", trace, "--set",
                                          directory(run, "out"), "--steps", "8"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("profile, mean of 5 steps\n"), std::string::npos) << result.out;
  const auto lines = checked_table(result.out);
  const auto counts = checked_trace(trace);
  for (const auto& [op, count] : counts) {
    EXPECT_EQ(count, 5 * lines.at(op).calls) << op;
  }
  EXPECT_EQ(counts.size() + 1, lines.size());
  EXPECT_TRUE(counts.contains("grouped_linear"));
  EXPECT_EQ(lines.at("decide").calls, 1);
}

// Copies stand below the sum, since compute goes on beside them; what it waited for them is a line.
TEST(TrainProfile, ShowsEachQueueInARowOfItsOwn) {
  const TinyRun run;
  const std::string trace = run.folder() / "trace.json";
  const ProcessResult result =
      run_ingot({"train", run.config_file(), "--profile", trace, "--set", directory(run, "out"),
                 "--steps", "8", "--set", "memory.offload=all", "--set",
                 "memory.offload_directory=.", "--set", "memory.fetch_ahead=2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto lines = checked_table(result.out);
  EXPECT_FALSE(lines.contains("fetch"));
  EXPECT_TRUE(lines.contains("wait"));
  EXPECT_LT(result.out.find("\nall "), result.out.find("\nfetch (beside) "));
  EXPECT_LT(result.out.find("\nall "), result.out.find("\nstore (beside) "));
  const auto counts = checked_trace(trace, {"compute", "copy in", "copy out"});
  EXPECT_EQ(counts.at("wait"), counts.at("fetch") + counts.at("store"));
  EXPECT_EQ(counts.at("wait"), 5 * lines.at("wait").calls);
}

TEST(TrainProfile, ShortRunsAreProfiledAsFarAsTheyGo) {
  const TinyRun run;
  const ProcessResult result = run_ingot(
      {"train", run.config_file(), "--steps", "1", "--profile", "--set", directory(run, "out")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("profile, mean of 1 steps\n"), std::string::npos) << result.out;
  checked_table(result.out);
}

// The machine's peaks are measured with memory, too.
TEST(TrainProfile, KeepsTheBudget) {
  const TinyRun run;
  constexpr std::int64_t kBudget = 96 << 20;
  const ProcessResult result =
      run_ingot({"train", run.config_file(), "--steps", "1", "--profile", "--set",
                 directory(run, "out"), "--set", "memory.budget=" + std::to_string(kBudget)});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_LE(result.peak_bytes, kBudget);
}

TEST(TrainProfile, LeavesTheRunItself) {
  const TinyRun run;
  for (const std::string name : {"plain", "profiled"}) {
    std::vector<std::string> words = {
        "train", run.config_file(), "--quiet", "--set", directory(run, name), "--steps", "4"};
    if (name == "profiled") words.push_back("--profile");
    const ProcessResult result = run_ingot(words);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, "");
  }
  EXPECT_EQ(checkpoint_contents(run.directory("profiled") / "step_00000004"),
            checkpoint_contents(run.directory("plain") / "step_00000004"));
}

TEST(TrainProfile, ATraceThatCannotBeWrittenFailsBeforeTheFirstStep) {
  const TinyRun run;
  const ProcessResult result = run_ingot({"train", run.config_file(), "--set",
                                          directory(run, "out"), "--profile=/nowhere/trace.json"});
  EXPECT_EQ(result.out.find("step 1"), std::string::npos) << result.out;
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_NE(result.err.find("/nowhere/trace.json"), std::string::npos) << result.err;
  expect_failure(run_ingot({"bench", "step", run.config_file(), "--profile=/nowhere/trace.json"}),
                 6, {"/nowhere/trace.json"});
}

TEST(BenchProfile, JsonStaysAloneOnStdout) {
  const TinyRun run;
  const std::string trace = run.folder() / "trace.json";
  const ProcessResult result =
      run_ingot({"bench", "step", run.config_file(), "--steps", "1", "--json", "--profile", trace});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_GT(json::parse(result.out)["tokens_per_second"], 0);
  const auto lines = checked_table(result.err);
  for (const auto& [op, count] : checked_trace(trace)) EXPECT_EQ(count, lines.at(op).calls) << op;
}

TEST(BenchOps, HasEveryOpOfTrainingWithItsShareOfTheRoofline) {
  const ProcessResult result =
      run_ingot({"bench", "ops", "--json", "--steps", "1", "--set", "data.sequence_length=32",
                 "--set", "batch.tokens_per_step=128", "--set", "model.vocab_size=256"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json report = json::parse(result.out);
  EXPECT_GT(report["peaks"]["gigabytes_per_second"], 0);
  std::map<std::string, json> ops;
  for (const json& model : report["models"]) {
    double shares = 0;
    for (const json& op : model["ops"]) {
      ops[op["op"]] = op;
      shares += op["share_of_step"].get<double>();
      EXPECT_GT(op["seconds"], 0) << op;
      EXPECT_NEAR(
          op["share_of_roofline"].get<double>(),
          std::max(op["share_of_peak"].get<double>(), op["share_of_bandwidth"].get<double>()),
          0.5 * op["share_of_roofline"].get<double>())
          << op;
    }
    EXPECT_NEAR(shares, 1, 1e-9);
  }
  for (const char* op : {"linear",         "linear_wgrad",
                         "linear_dgrad",   "bias_gradient",
                         "attention",      "attention_backward",
                         "grouped_linear", "grouped_linear_wgrad",
                         "route",          "permute",
                         "combine",        "rope",
                         "swiglu",         "swiglu_backward",
                         "rms_norm",       "rms_norm_backward",
                         "embedding",      "cross_entropy_backward",
                         "adamw",          "square_sums",
                         "bias_update"}) {
    EXPECT_TRUE(ops.contains(op)) << op;
  }
}

TEST(BenchOps, TakesAnyRunConfig) {
  const TinyRun run("deepseek_v2");
  const ProcessResult result = run_ingot({"bench", "ops", run.config_file(), "--steps", "2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto lines = checked_table(result.out);
  EXPECT_TRUE(lines.contains("grouped_linear"));
}

TEST(BenchGemm, HasThreeProductsOfEveryShapeAndType) {
  const ProcessResult result = run_ingot({"bench", "gemm", "--json", "--seconds", "0"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json report = json::parse(result.out);
  std::map<std::string, int> types;
  for (const json& layer : report["layers"]) {
    ++types[layer["type"]];
    ASSERT_EQ(layer["products"].size(), 3u);
    for (const json& product : layer["products"]) {
      const double rate = product["gflops"], share = product["share_of_peak"];
      EXPECT_GT(rate, 0) << layer;
      const std::string peak = layer["type"].get<std::string>() + "_gflops";
      if (!report["peaks"].contains(peak)) continue;  // no int8 instructions
      EXPECT_NEAR(share, rate / report["peaks"][peak].get<double>(), 1e-6) << layer;
    }
  }
  EXPECT_EQ(types["fp32"], types["bf16"]);
  EXPECT_EQ(types["fp32"], types["int8"]);
  EXPECT_GT(types["fp32"], 8);
}

}  // namespace
}  // namespace ingot

// planner_grid INGOT FOLDER [--only MODEL]... [--steps N]   The planner's choice against the best
// of a grid of all settings it could have been given by hand: four models, five budgets each. Each
// setting is measured once (its time does not depend on the budget); then, for each budget, what
// the planner takes with everything "auto" and the best two of the settings that fit run in turns,
// and the fastest of each counts. Prints the tables of docs/benchmarks.md; run it from the
// repository's root. FOLDER, on a disk, takes offloaded tensors and the planner's calibration,
// which is made anew. About a quarter of an hour on a quiet machine. A choice that is the grid's
// best itself counts as such, whatever the two runs took.
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace ingot {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr double kMiB = 1 << 20;
constexpr int kRounds = 4;          // in turns, at the end
constexpr std::size_t kRivals = 2;  // of the grid, in them

struct Model {
  std::string name;
  std::string config;  // a run config's path, or its text
  int sequence, sequences;
};

const std::vector<Model> kModels = {
    {"dense_34m", "configs/bench/dense_34m.json", 512, 2},
    {"moe_48m", "configs/bench/moe_48m.json", 512, 2},
    {"quickstart", "configs/runs/quickstart.json", 256, 4},
    {"qwen3_long", R"({"model": {"model_type": "qwen3", "vocab_size": 8192, "hidden_size": 256,
      "intermediate_size": 704, "num_hidden_layers": 4, "num_attention_heads": 4,
      "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 2048},
      "precision": {"compute": "bf16"}})",
     2048, 2}};

// Everything that "auto" leaves to the planner in these runs.
struct Setting {
  int batch;
  std::string activations, offload;

  std::string in_words() const {
    return "micro-batch " + std::to_string(batch) + ", " + activations +
           (offload == "none" ? "" : ", offload " + offload);
  }
  std::vector<std::string> overrides() const {
    return {"batch.micro_batch=" + std::to_string(batch), "memory.activations=" + activations,
            "memory.offload=" + offload};
  }
};

std::vector<Setting> grid_of(const Model& model) {
  std::vector<Setting> grid;
  for (int batch = 1; batch <= model.sequences; ++batch) {
    if (model.sequences % batch != 0) continue;
    for (const char* activations : {"keep", "int8", "compact", "recompute"}) {
      for (const char* offload : {"none", "states", "masters", "all"}) {
        grid.push_back({batch, activations, offload});
      }
    }
  }
  return grid;
}

struct Measured {
  double seconds = 0;
  double peak = 0, predicted_peak = 0;  // of the process, MiB
};

struct Answer {
  int exit_code = -1;
  std::string out, err;
};

class Runner {
 public:
  Runner(std::string ingot, fs::path folder, int steps)
      : ingot_(std::move(ingot)), folder_(fs::absolute(folder)), steps_(steps) {
    fs::create_directories(folder_ / "off");
    setenv("XDG_CACHE_HOME", folder_.c_str(), 1);
    fs::remove_all(folder_ / "ingot");
  }

  // ingot WORDS CONFIG --json with these keys set.
  Answer ask(const std::string& words, const Model& model,
             const std::vector<std::string>& overrides) const {
    std::string config = model.config;
    if (config.starts_with('{')) {
      config = (folder_ / (model.name + ".json")).string();
      std::ofstream(config) << model.config;
    }
    std::string command = ingot_ + " " + words + " " + config + " --json";
    const auto set = [&command](const std::string& text) { command += " --set '" + text + "'"; };
    set("data.sequence_length=" + std::to_string(model.sequence));
    set("batch.tokens_per_step=" + std::to_string(model.sequence * model.sequences));
    set("batch.micro_batch=auto");
    set("memory.offload_directory=" + (folder_ / "off").string());
    for (const std::string& text : overrides) set(text);
    const fs::path errors = folder_ / "errors";
    std::FILE* pipe = ::popen((command + " 2>" + errors.string()).c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("cannot start " + ingot_);
    Answer answer;
    char piece[4096];
    while (const std::size_t count = std::fread(piece, 1, sizeof piece, pipe)) {
      answer.out.append(piece, count);
    }
    const int status = ::pclose(pipe);
    answer.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    std::ifstream file(errors);
    answer.err.assign(std::istreambuf_iterator<char>(file), {});
    constexpr int kDoesNotFit = 4;
    if (answer.exit_code != 0 && answer.exit_code != kDoesNotFit) {
      throw std::runtime_error(command + ": " + answer.err);
    }
    return answer;
  }

  // Nothing if it was refused.
  std::optional<Measured> step(const Model& model,
                               const std::vector<std::string>& overrides) const {
    const Answer answer =
        ask("bench step --warmup 1 --steps " + std::to_string(steps_), model, overrides);
    if (answer.exit_code != 0) return std::nullopt;
    const json report = json::parse(answer.out);
    return Measured{report["step_seconds"], report["peak_rss_bytes"].get<double>() / kMiB,
                    report["predicted_peak_rss_bytes"].get<double>() / kMiB};
  }

 private:
  std::string ingot_;
  fs::path folder_;
  int steps_;
};

std::string budget_setting(double mebibytes) {
  return "memory.budget=" + std::to_string(static_cast<long>(mebibytes)) + "MiB";
}

// What the refusal of a hopeless budget names.
double smallest_budget(const Runner& runner, const Model& model) {
  const Answer answer = runner.ask("plan", model, {"memory.budget=1MiB"});
  const std::string before = "the smallest budget that fits is ";
  const auto place = answer.err.find(before);
  if (place == std::string::npos) throw std::runtime_error("no smallest budget: " + answer.err);
  std::istringstream rest(answer.err.substr(place + before.size()));
  double number = 0;
  std::string unit;
  rest >> number >> unit;
  return unit.starts_with("GiB") ? number * 1024 : number;
}

struct Candidate {
  Setting setting;
  Measured measured;
};

struct Tally {
  int cases = 0, feasible = 0, near = 0, right = 0;
};

// Runs both sides in turns; the fastest of these runs counts. What a rival took in the grid does
// not: it was picked for it, and luck would count as speed.
void settle(const Runner& runner, const Model& model, const std::vector<std::string>& automatic,
            Measured& chosen, std::vector<Candidate>& rivals) {
  const auto again = [&](const std::vector<std::string>& overrides, Measured& measured) {
    const std::optional<Measured> now = runner.step(model, overrides);
    if (!now) throw std::runtime_error(model.name + ": accepted once, refused again");
    measured.seconds = std::min(measured.seconds, now->seconds);
    measured.peak = std::max(measured.peak, now->peak);
  };
  chosen.seconds = INFINITY;
  for (Candidate& rival : rivals) rival.measured.seconds = INFINITY;
  for (int round = 0; round < kRounds; ++round) {
    again(automatic, chosen);
    for (Candidate& rival : rivals) {
      std::vector<std::string> overrides = rival.setting.overrides();
      overrides.push_back("memory.budget=100GiB");
      again(overrides, rival.measured);
    }
  }
}

bool faster(const Candidate& a, const Candidate& b) {
  return a.measured.seconds < b.measured.seconds;
}

std::string choice_in_words(const json& choices) {
  std::string text = "micro-batch " + std::to_string(choices["micro_batch"].get<int>()) + ", " +
                     choices["activations"].get<std::string>();
  if (choices["offload"] != "none") text += ", offload " + choices["offload"].get<std::string>();
  return text;
}

// One line of the table.
void compare(const Runner& runner, const Model& model, double budget,
             const std::vector<Candidate>& grid, Tally& tally) {
  const std::vector<std::string> automatic = {budget_setting(budget)};
  std::vector<Candidate> fitting;
  double smallest_peak = grid.front().measured.peak;
  for (const Candidate& candidate : grid) {
    if (candidate.measured.predicted_peak <= budget) fitting.push_back(candidate);
    smallest_peak = std::min(smallest_peak, candidate.measured.peak);
  }
  std::sort(fitting.begin(), fitting.end(), faster);
  if (fitting.size() > kRivals) fitting.resize(kRivals);

  ++tally.cases;
  std::printf("| %s | %.0f | ", model.name.c_str(), budget);
  const Answer plan = runner.ask("plan", model, automatic);
  std::optional<Measured> chosen = runner.step(model, automatic);
  if (!chosen) {
    const bool right = plan.exit_code != 0 && smallest_peak > budget;
    tally.right += right;
    std::printf("refused | | | smallest of the grid took %.0f | | | %s |\n", smallest_peak,
                right ? "yes" : "NO");
    std::fflush(stdout);
    return;
  }
  settle(runner, model, automatic, *chosen, fitting);
  std::sort(fitting.begin(), fitting.end(), faster);
  const bool right = plan.exit_code == 0 && chosen->peak <= budget;
  tally.right += right;
  const json report = json::parse(plan.out);
  const std::string choice = choice_in_words(report["choices"]);
  std::printf("%s | %.0f | %.3f (predicted %.3f) | ", choice.c_str(), chosen->peak, chosen->seconds,
              report["predicted_step_seconds"].get<double>());
  ++tally.feasible;
  if (fitting.empty()) {
    ++tally.near;
    std::printf("none fits | | | %s |\n", right ? "yes" : "NO");
  } else {
    const Candidate& best = fitting.front();
    const double ratio = chosen->seconds / best.measured.seconds;
    tally.near += ratio <= 1.05 || best.setting.in_words() == choice;
    std::printf("%s | %.3f | %.3f | %s |\n", best.setting.in_words().c_str(), best.measured.seconds,
                ratio, right ? "yes" : "NO");
  }
  std::fflush(stdout);
}

void study(const Runner& runner, const Model& model, Tally& tally) {
  runner.ask("plan", model, {"memory.budget=100GiB"});  // calibrates
  std::vector<Candidate> grid;
  double largest = 0, least_spare = 1e9, most_spare = -1e9;
  for (const Setting& setting : grid_of(model)) {
    std::vector<std::string> overrides = setting.overrides();
    overrides.push_back("memory.budget=100GiB");
    const std::optional<Measured> measured = runner.step(model, overrides);
    if (!measured) throw std::runtime_error("100 GiB are not enough for " + setting.in_words());
    grid.push_back({setting, *measured});
    largest = std::max(largest, measured->predicted_peak);
    const double spare = measured->predicted_peak - measured->peak;
    least_spare = std::min(least_spare, spare);
    most_spare = std::max(most_spare, spare);
    std::fprintf(stderr, "%-12s %-44s %.3f s, predicted peak %.1f MiB, measured %.1f\n",
                 model.name.c_str(), setting.in_words().c_str(), measured->seconds,
                 measured->predicted_peak, measured->peak);
  }
  std::fprintf(stderr, "%s: %zu settings; predicted less measured peak: %.1f to %.1f MiB\n",
               model.name.c_str(), grid.size(), least_spare, most_spare);
  const double smallest = smallest_budget(runner, model);
  for (const double share : {1.05, 0.6, 0.3, 0.0}) {
    compare(runner, model, smallest + share * (largest - smallest) + 1, grid, tally);
  }
  compare(runner, model, 0.8 * smallest, grid, tally);
}

void run(const Runner& runner, const std::vector<std::string>& only) {
  std::printf(
      "| model | budget, MiB | chosen | its peak, MiB | step, s | best of the grid | step, s | "
      "ratio "
      "| feasibility right |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  Tally tally;
  for (const Model& model : kModels) {
    const bool wanted =
        only.empty() || std::find(only.begin(), only.end(), model.name) != only.end();
    if (wanted) study(runner, model, tally);
  }
  std::printf("\n%d of %d within 5 %% of the best; feasibility right in %d of %d\n", tally.near,
              tally.feasible, tally.right, tally.cases);
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  if (argc < 3 || argc % 2 == 0) {
    std::fputs("usage: planner_grid INGOT FOLDER [--only MODEL]... [--steps N]\n", stderr);
    return 2;
  }
  int steps = 2;
  std::vector<std::string> only;
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--steps") steps = std::atoi(argv[i + 1]);
    if (flag == "--only") only.emplace_back(argv[i + 1]);
  }
  try {
    ingot::run({argv[1], argv[2], steps}, only);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "planner_grid: %s\n", error.what());
    return 1;
  }
}

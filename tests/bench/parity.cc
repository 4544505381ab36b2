// parity INGOT DATA FOLDER [--steps N] [--sequences N] [--only NAME]...   What compression costs in
// loss: trains configs/bench/moe_48m.json (and dense_34m) on the shards in DATA (`ingot prepare` of
// the Eigen headers, vocabulary 8192), once as it is and once with each way to save memory, prints
// the table of docs/benchmarks.md and draws FOLDER/parity_*.svg. Runs are kept in FOLDER/runs and
// taken up where they stopped. Prefix it with `chrt -r 5` on a busy machine.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/line_plot.h"

namespace ingot {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

struct Recipe {
  std::string name;
  std::vector<std::string> settings;
  int seeds;
};

const std::vector<std::string> kEverything = {
    "precision.compute=int8", "memory.activations=int8", "optimizer.state=int8",
    "precision.master=bf16_residual", "precision.gradient=bf16"};

struct Study {
  std::string model;
  std::vector<Recipe> recipes;
};

const std::vector<Study> kStudies = {
    {"moe_48m",
     {{"bf16", {}, 3},
      {"all compressed", kEverything, 3},
      {"int8 activations", {"memory.activations=int8"}, 1},
      {"int8 states", {"optimizer.state=int8"}, 1},
      {"int8 compute", {"precision.compute=int8"}, 1},
      {"int8 weights", {"precision.master=int8"}, 1}}},
    // The last: nothing compressed, only sums of two sequences' gradients rounded elsewhere. What
    // that changes is how far runs of one seed drift apart by themselves.
    {"dense_34m",
     {{"bf16", {}, 4},
      {"all compressed", kEverything, 4},
      {"bf16, other micro-batch", {"batch.micro_batch=1"}, 2}}}};

struct Run {
  std::vector<std::pair<double, double>> losses;  // step, training loss
  double validation = 0;                          // at the end
};

class Parity {
 public:
  Parity(std::string ingot, std::string data, fs::path folder, int steps, int sequences)
      : ingot_(std::move(ingot)),
        data_(fs::absolute(data)),
        folder_(std::move(folder)),
        steps_(steps),
        sequences_(sequences) {}

  Run run(const std::string& model, const Recipe& recipe, int seed) const {
    const fs::path directory =
        folder_ / "runs" / (model + "-" + slug(recipe.name) + "-" + std::to_string(seed));
    std::string command = ingot_ + " train configs/bench/" + model + ".json";
    const auto set = [&command](const std::string& setting) {
      command += " --set '" + setting + "'";
    };
    set("data.train=[\"" + (data_ / "train-*.bin").string() + "\"]");
    set("data.validation=[\"" + (data_ / "validation-*.bin").string() + "\"]");
    set("data.validation_tokens=" + std::to_string(32 * 512 * sequences_));
    set("batch.micro_batch=" + std::to_string(sequences_));
    set("batch.tokens_per_step=" + std::to_string(512 * sequences_));
    set("optimizer.learning_rate=0.001");
    set("schedule.type=cosine");
    set("schedule.warmup_steps=" + std::to_string(steps_ / 10));
    set("schedule.steps=" + std::to_string(steps_));
    set("log.every=5");
    set("log.validate_every=100");
    set("checkpoint.every=250");
    set("checkpoint.keep=1");
    set("checkpoint.directory=" + fs::absolute(directory).string());
    set("seed=" + std::to_string(seed));
    for (const std::string& setting : recipe.settings) set(setting);
    if (std::system((command + " >&2").c_str()) != 0) throw std::runtime_error(command);
    return read(directory / "metrics.jsonl");
  }

  void draw(const std::string& model, const std::vector<Curve>& curves) const {
    const fs::path file = folder_ / ("parity_" + model + ".svg");
    std::ofstream(file) << line_plot({.title = model + ": training loss",
                                      .x_label = "step",
                                      .y_label = "loss, mean of 25 steps",
                                      .dots = false,
                                      .from_zero = false,
                                      .curves = curves});
  }

 private:
  static std::string slug(std::string name) {
    std::replace(name.begin(), name.end(), ' ', '_');
    return name;
  }

  static Run read(const fs::path& path) {
    Run run;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      const json metrics = json::parse(line);
      if (metrics.contains("validation_loss")) run.validation = metrics["validation_loss"];
      if (metrics.contains("loss")) run.losses.emplace_back(metrics["step"], metrics["loss"]);
    }
    return run;
  }

  std::string ingot_;
  fs::path data_, folder_;
  int steps_, sequences_;  // sequences of 512 tokens a step
};

// Means over windows of five logged losses.
Curve smooth(const std::string& name, const Run& run) {
  constexpr std::size_t kWindow = 5;
  Curve curve{.name = name};
  for (std::size_t first = 0; first + kWindow <= run.losses.size(); first += kWindow) {
    double sum = 0;
    for (std::size_t i = first; i < first + kWindow; ++i) sum += run.losses[i].second;
    curve.points.emplace_back(run.losses[first + kWindow - 1].first, sum / kWindow);
  }
  return curve;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double deviation(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += std::pow(value - mean(values), 2);
  return values.size() < 2 ? 0 : std::sqrt(sum / static_cast<double>(values.size() - 1));
}

void study(const Parity& parity, const Study& study, const std::vector<std::string>& only) {
  std::printf(
      "\n%s\n\n| recipe | seeds | validation loss | sd | against bf16, same seeds | sd of it |\n",
      study.model.c_str());
  std::printf("| --- | --- | --- | --- | --- | --- |\n");
  std::vector<double> reference;
  std::vector<Curve> curves;
  for (const Recipe& recipe : study.recipes) {
    const bool wanted = only.empty() || recipe.name == "bf16" ||
                        std::find(only.begin(), only.end(), recipe.name) != only.end();
    if (!wanted) continue;
    std::vector<double> losses;
    for (int seed = 1; seed <= recipe.seeds; ++seed) {
      const Run run = parity.run(study.model, recipe, seed);
      losses.push_back(run.validation);
      if (seed == 1) curves.push_back(smooth(recipe.name, run));
    }
    if (reference.empty()) reference = losses;
    std::vector<double> percent;
    for (std::size_t i = 0; i < losses.size(); ++i) {
      percent.push_back(100 * (losses[i] / reference[i] - 1));
    }
    std::printf("| %s | %zu | %.4f | %.4f | %+.2f %% | %.2f |\n", recipe.name.c_str(),
                losses.size(), mean(losses), deviation(losses), mean(percent), deviation(percent));
    std::fflush(stdout);
    parity.draw(study.model, curves);
  }
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "parity INGOT DATA FOLDER [--steps N] [--sequences N] [--only NAME]...\n");
    return 2;
  }
  int steps = 500, sequences = 2;
  std::vector<std::string> only;
  for (int i = 4; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--steps") steps = std::atoi(argv[i + 1]);
    if (flag == "--sequences") sequences = std::atoi(argv[i + 1]);
    if (flag == "--only") only.emplace_back(argv[i + 1]);
  }
  const ingot::Parity parity(argv[1], argv[2], argv[3], steps, sequences);
  for (const ingot::Study& study : ingot::kStudies) ingot::study(parity, study, only);
  return 0;
}

// hard_limits INGOT COUNTER FOLDER [--steps N] [--only NAME]...   Every config of configs/runs
// under a limit of memory that equals what `ingot plan` promised (tests/hard_limits.h says which
// limit and why): N steps (1000) with validation, samples, saves, a stop in the middle and a
// resume; those with experts once more with all tokens sent to the same of them. COUNTER:
// bazel-bin/tests/bench/libcount_allocations.so. Prints the table of docs/benchmarks.md; the exit
// code is 1 if a run failed, took more than its promise, or took memory from the heap in a step
// after the first. Run it in the root of the repository.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/hard_limits.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json read_json(const fs::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

struct Options {
  std::string program, counter;
  fs::path folder;
  std::int64_t steps = 1000;
  std::vector<std::string> only;
};

double mebibytes(std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

// One line of the table. Whether all was as promised.
bool report(const std::string& name, const LimitedResult& result, double load_expected) {
  std::printf("| %s | %.1f | %.1f | %lld | %lld | %lld | %lld | %lld | %lld | %lld |", name.c_str(),
              mebibytes(result.promised), mebibytes(result.peak),
              static_cast<long long>(result.steps), static_cast<long long>(result.resumes),
              static_cast<long long>(result.validations), static_cast<long long>(result.saves),
              static_cast<long long>(result.samples), static_cast<long long>(result.allocations),
              static_cast<long long>(result.allocations_saving));
  std::puts(result.failure.empty() ? "" : (" FAILED: " + result.failure).c_str());
  std::fflush(stdout);
  const bool loaded = load_expected == 0 || result.least_load > 0.99 * load_expected;
  if (!loaded) std::printf("load %.2f instead of %.2f\n", result.least_load, load_expected);
  return result.failure.empty() && result.peak <= result.promised && result.allocations == 0 &&
         loaded;
}

bool try_config(const Options& options, const fs::path& config) {
  const std::string name = config.stem().string();
  const json model =
      read_json(config.parent_path() / read_json(config)["model"].get<std::string>());
  const std::int64_t vocabulary = model["vocab_size"];
  const fs::path text = options.folder / ("text-" + std::to_string(vocabulary));
  const fs::path one = options.folder / ("one-token-" + std::to_string(vocabulary));
  if (!fs::exists(text)) prepare_text(options.program, text, vocabulary);
  if (!fs::exists(one)) write_one_token(one, vocabulary);
  LimitedRun run{.program = options.program,
                 .allocation_counter = options.counter,
                 .config = config,
                 .data = text,
                 .folder = options.folder / name,
                 .steps = options.steps,
                 // Neither at a save nor at a validation.
                 .stop_after = options.steps / 2 - options.steps / 20 + 1,
                 .save_every = std::max<std::int64_t>(1, options.steps / 4),
                 .validate_every = std::max<std::int64_t>(1, options.steps / 10)};
  bool good = report(name, train_within_promise(run), 0);
  if (const std::int64_t experts = model.value("n_routed_experts", 0); experts > 0) {
    run.data = one;
    run.folder += "-one-token";
    const double load = static_cast<double>(experts) / model["num_experts_per_tok"].get<double>();
    good &= report(name + ", the same experts for all", train_within_promise(run), load);
  }
  return good;
}

int run(const Options& options) {
  std::vector<fs::path> configs;
  for (const auto& entry : fs::directory_iterator("configs/runs")) {
    const std::string name = entry.path().stem().string();
    const auto& only = options.only;
    if (!only.empty() && std::find(only.begin(), only.end(), name) == only.end()) continue;
    configs.push_back(fs::absolute(entry.path()));
  }
  std::sort(configs.begin(), configs.end());
  std::puts(
      "| config | promise and limit, MiB | VmHWM, MiB | steps | resumes | validations | saves | "
      "samples | allocations after step 1 | in saves and samples |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
  bool good = true;
  for (const fs::path& config : configs) good &= try_config(options, config);
  return good ? 0 : 1;
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "hard_limits INGOT COUNTER FOLDER [--steps N] [--only NAME]...\n");
    return 2;
  }
  ingot::Options options{.program = std::filesystem::absolute(argv[1]),
                         .counter = std::filesystem::absolute(argv[2]),
                         .folder = std::filesystem::absolute(argv[3])};
  for (int i = 4; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--steps") options.steps = std::atoll(argv[i + 1]);
    if (flag == "--only") options.only.emplace_back(argv[i + 1]);
  }
  return ingot::run(options);
}

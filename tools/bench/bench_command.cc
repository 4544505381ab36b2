#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "backends/host/system_memory.h"
#include "engine/execution/profile.h"
#include "io/atomic_file.h"
#include "tools/bench/bench.h"
#include "tools/bench/synthetic_training.h"
#include "tools/command.h"
#include "tools/flag_checks.h"

namespace ingot {
namespace {

struct Flags {
  std::string config, trace_file;
  CLI::Option* profile = nullptr;
  std::vector<std::string> overrides;
  int steps = 5, warmup = 2;
  bool json = false;
};

double fastest_step(SyntheticTraining& training, const Flags& flags) {
  using Clock = std::chrono::steady_clock;
  double fastest = 1e300;
  for (int step = 0; step < flags.warmup + flags.steps; ++step) {
    const Clock::time_point start = Clock::now();
    training.step();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (step >= flags.warmup) fastest = std::min(fastest, seconds);
  }
  return fastest;
}

void profile_step(SyntheticTraining& training, const Flags& flags, Backend& backend) {
  Profile profile(training.engine().executor());
  training.step(profile);
  profile.end_step();
  const MachinePeaks peaks = backend.peaks();
  std::fprintf(stderr, "%s\n", profile_table(profile.by_kind(peaks), peaks).c_str());
  if (!flags.trace_file.empty()) write_text_file(flags.trace_file, profile.chrome_trace());
}

int bench_step(const Flags& flags) {
  const RunConfig config = load_run_config(flags.config, flags.overrides);
  if (!flags.trace_file.empty()) write_text_file(flags.trace_file, "[]");  // or fail now
  const int threads = thread_count(config.threads);
  const auto backend = make_backend(config.device, threads);
  const double peak = measured_peak_flops(config, *backend);
  SyntheticTraining training(config, *backend, threads);
  const double fastest = fastest_step(training, flags);
  const std::string doubt = doubt_prediction(training.engine().plan(), config, *backend, fastest);
  if (!doubt.empty()) std::fprintf(stderr, "%s\n", doubt.c_str());
  const std::int64_t peak_bytes = peak_resident_bytes();  // profiles take memory of their own
  if (flags.profile->count() > 0) profile_step(training, flags, *backend);

  const double tokens_per_second = static_cast<double>(config.batch.tokens_per_step) / fastest;
  const double flops = training_flops_per_token(config.model, config.data.sequence_length,
                                                config.model.num_nextn_predict_layers > 0);
  const ParameterCount parameters = count_parameters(config.model);
  const double mfu = tokens_per_second * flops / peak;
  const std::int64_t arena_bytes = training.engine().executor().arena_bytes();
  if (flags.json) {
    const std::int64_t predicted = training.engine().plan().predicted_peak_bytes();
    std::puts(nlohmann::json{{"tokens_per_second", tokens_per_second},
                             {"step_seconds", fastest},
                             {"mfu", mfu},
                             {"arena_bytes", arena_bytes},
                             {"peak_rss_bytes", peak_bytes},
                             {"predicted_peak_rss_bytes", predicted},
                             {"parameters", parameters.total + parameters.mtp}}
                  .dump(2)
                  .c_str());
  } else {
    std::printf(
        "%.0f tokens/s | %.1f ms a step | %.1f %% of the matmul peak | arena %.1f MiB | "
        "peak memory %.1f MiB | %.1f M parameters\n",
        tokens_per_second, fastest * 1e3, mfu * 100, static_cast<double>(arena_bytes) / (1 << 20),
        static_cast<double>(peak_bytes) / (1 << 20),
        static_cast<double>(parameters.total + parameters.mtp) / 1e6);
  }
  return 0;
}

void add_step(CLI::App& bench, Command& command) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* step = bench.add_subcommand("step", "Training steps on random tokens");
  add_run_config(*step, flags->config, flags->overrides);
  step->add_option("--steps", flags->steps, "Steps that count; the fastest is reported")
      ->check(count_from(1))
      ->capture_default_str();
  step->add_option("--warmup", flags->warmup, "Steps before that")
      ->check(count_from(0))
      ->capture_default_str();
  flags->profile =
      step->add_option("--profile", flags->trace_file,
                       "Time by op of one more step, on stderr; FILE gets a Chrome trace of it")
          ->expected(0, 1)
          ->type_name("[FILE]");
  step->add_flag("--json", flags->json, "Print JSON");
  step->callback([&command, flags] { command = [flags] { return bench_step(*flags); }; });
}

}  // namespace

void add_bench(CLI::App& app, Command& command) {
  CLI::App* bench = app.add_subcommand("bench", "Measure this machine with this program");
  bench->require_subcommand(1);
  add_step(*bench, command);
  add_bench_gemm(*bench, command);
  add_bench_ops(*bench, command);
}

}  // namespace ingot

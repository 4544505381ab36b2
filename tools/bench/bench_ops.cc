#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tools/bench/bench.h"
#include "tools/bench/synthetic_training.h"
#include "tools/flag_checks.h"

namespace ingot {
namespace {

using nlohmann::json;

constexpr int kWarmupSteps = 2;

struct Flags {
  std::string config;
  std::vector<std::string> overrides;
  int steps = 5;
  bool json = false;
};

// Between them they have every op of training; the matrices are those of configs/bench.
constexpr const char* kDense = R"({
  "model": {"model_type": "qwen2", "vocab_size": 8192, "hidden_size": 512,
            "intermediate_size": 1408, "num_hidden_layers": 2, "num_attention_heads": 8,
            "num_key_value_heads": 2},
  "data": {"sequence_length": 512},
  "batch": {"tokens_per_step": 2048, "micro_batch": 4}
})";
constexpr const char* kMixture = R"({
  "model": {"model_type": "deepseek_v3", "vocab_size": 8192, "hidden_size": 512,
            "intermediate_size": 1408, "moe_intermediate_size": 256, "num_hidden_layers": 2,
            "num_attention_heads": 8, "first_k_dense_replace": 1, "n_routed_experts": 64,
            "num_experts_per_tok": 4, "n_shared_experts": 1, "n_group": 8, "topk_group": 4,
            "q_lora_rank": 192, "kv_lora_rank": 128, "qk_nope_head_dim": 64,
            "qk_rope_head_dim": 32, "v_head_dim": 64, "num_nextn_predict_layers": 1},
  "data": {"sequence_length": 512},
  "batch": {"tokens_per_step": 2048, "micro_batch": 4}
})";

std::vector<KindTime> measure(const RunConfig& config, int steps, Backend& backend,
                              const MachinePeaks& peaks) {
  SyntheticTraining training(config, backend, thread_count(config.threads));
  for (int step = 0; step < kWarmupSteps; ++step) training.step();
  Profile profile(training.engine().executor());
  for (int step = 0; step < steps; ++step) {
    training.step(profile);
    profile.end_step();
  }
  return profile.fastest_by_kind(peaks);
}

json ops_json(const std::vector<KindTime>& kinds, const MachinePeaks& peaks) {
  double total = 0;
  for (const KindTime& time : kinds) total += time.seconds;
  json ops = json::array();
  for (const KindTime& time : kinds) {
    const double bandwidth = time.bytes / time.seconds;
    ops.push_back({{"op", time.kind},
                   {"calls", time.calls},
                   {"seconds", time.seconds},
                   {"share_of_step", time.seconds / total},
                   {"gflops", time.flops / time.seconds / 1e9},
                   {"share_of_peak", time.compute_seconds / time.seconds},
                   {"gigabytes_per_second", bandwidth / 1e9},
                   {"share_of_bandwidth", bandwidth / peaks.bytes_per_second},
                   {"share_of_roofline", time.least_seconds / time.seconds}});
  }
  return ops;
}

int bench_ops(const Flags& flags) {
  std::vector<std::pair<std::string, RunConfig>> runs;
  if (flags.config.empty()) {
    runs.emplace_back("dense", parse_run_config(kDense, "dense model", ".", flags.overrides));
    runs.emplace_back("mixture of experts",
                      parse_run_config(kMixture, "mixture of experts", ".", flags.overrides));
  } else {
    runs.emplace_back(flags.config, load_run_config(flags.config, flags.overrides));
  }
  const RunConfig& first = runs.front().second;
  const auto backend = make_backend(first.device, thread_count(first.threads));
  const MachinePeaks peaks = backend->peaks();
  json models = json::array();
  for (const auto& [name, config] : runs) {
    const std::vector<KindTime> kinds = measure(config, flags.steps, *backend, peaks);
    models.push_back({{"model", name}, {"ops", ops_json(kinds, peaks)}});
    if (!flags.json) std::printf("%s\n%s\n\n", name.c_str(), profile_table(kinds, peaks).c_str());
  }
  if (flags.json) {
    std::puts(json{{"peaks", peaks_json(peaks)}, {"models", models}}.dump(2).c_str());
  }
  return 0;
}

}  // namespace

json peaks_json(const MachinePeaks& peaks) {
  json result = {{"fp32_gflops", peaks.f32_flops / 1e9},
                 {"bf16_gflops", peaks.bf16_flops / 1e9},
                 {"gigabytes_per_second", peaks.bytes_per_second / 1e9}};
  if (peaks.int8_flops > 0) result["int8_gflops"] = peaks.int8_flops / 1e9;
  return result;
}

void add_bench_ops(CLI::App& bench, Command& command) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* ops = bench.add_subcommand(
      "ops", "Every kind of op in training steps: time, rates, share of the roofline");
  ops->add_option("RUN.json", flags->config,
                  "Run config; without it a small dense model and a small mixture of experts");
  ops->add_option("--set", flags->overrides, "Change a key of the config: a.b=value");
  add_device_flag(*ops, flags->overrides);
  ops->add_option("--steps", flags->steps, "Steps; the fastest call of each op counts")
      ->check(count_from(1))
      ->capture_default_str();
  ops->add_flag("--json", flags->json, "Print JSON");
  ops->callback([&command, flags] { command = [flags] { return bench_ops(*flags); }; });
}

}  // namespace ingot

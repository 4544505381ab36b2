#include "engine/calibration.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>
#include <vector>

#include "engine/error.h"
#include "engine/executor.h"
#include "engine/initialize.h"
#include "engine/json.h"
#include "engine/random.h"
#include "engine/training_program.h"
#include "io/atomic_file.h"
#include "io/hash.h"
#include "memory/activation_policy.h"
#include "memory/plan.h"

namespace ingot {
namespace {

using Clock = std::chrono::steady_clock;

// Between them they have every kind of op, in sizes at which a core's rate has settled.
constexpr const char* kDenseModel = R"({"model_type": "llama", "vocab_size": 2048,
  "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 1,
  "num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 512})";
constexpr const char* kExpertModel = R"({"model_type": "deepseek_v3", "vocab_size": 2048,
  "hidden_size": 512, "intermediate_size": 1408, "moe_intermediate_size": 256,
  "num_hidden_layers": 1, "first_k_dense_replace": 0, "num_attention_heads": 8,
  "num_key_value_heads": 8, "n_routed_experts": 8, "num_experts_per_tok": 2,
  "n_shared_experts": 1, "n_group": 2, "topk_group": 1, "q_lora_rank": 192, "kv_lora_rank": 128,
  "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64,
  "num_nextn_predict_layers": 0, "max_position_embeddings": 512})";

struct ProbeSize {
  std::int64_t batch, sequence;
};
constexpr std::array<ProbeSize, 2> kSizes = {{{1, 128}, {4, 512}}};
constexpr int kRuns = 3;  // the fastest counts

RunConfig probe_config(const RunConfig& config, const char* model, ProbeSize size) {
  RunConfig probe =
      parse_run_config(R"({"model": )" + std::string(model) + "}", "calibration", ".");
  probe.data.sequence_length = size.sequence;
  probe.batch.tokens_per_step = size.batch * size.sequence;
  probe.precision = config.precision;
  probe.optimizer = config.optimizer;
  probe.log.sample_every = 0;
  return probe;
}

// The fastest time of each op over several runs.
class Stopwatch final : public OpObserver {
 public:
  explicit Stopwatch(const Program& program)
      : program_(program),
        seconds_(program.ops().size(), std::numeric_limits<double>::infinity()) {}

  void before(const Op&) override { start_ = Clock::now(); }
  void after(const Op& op) override {
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    double& least = seconds_[&op - program_.ops().data()];
    least = std::min(least, seconds);
  }

  double seconds(std::size_t op) const { return seconds_[op]; }

 private:
  const Program& program_;
  Clock::time_point start_;
  std::vector<double> seconds_;
};

void write_random_tokens(Executor& executor, Tensor ids, std::int64_t vocabulary) {
  std::vector<std::int32_t> tokens(executor.program().info(ids).shape.elements());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] =
        static_cast<std::int32_t>(random_uniform(1, ids.id, i) * static_cast<double>(vocabulary));
  }
  executor.write(ids, std::as_bytes(std::span(tokens)));
}

// Adds a rate for each kind in the probe.
void measure(const RunConfig& config, Backend& backend, CostModel& costs) {
  // In 8 bits and computed again, so that the ops for that are there as well.
  TrainingProgram compiled = compile_training(
      config, {.batch = config.batch.tokens_per_step / config.data.sequence_length,
               .storage = [](const Program& program, std::span<const SavedActivation> saved) {
                 return storage_at(program, saved, ActivationLevel::int8);
               }});
  Program& program = compiled.program;
  BoundProgram bound(program, backend);
  MemoryPlan plan = plan_memory(program);
  Executor executor(program, std::move(bound), plan.offsets, plan.arena_bytes, backend);
  initialize_weights(executor, 1, 1);
  write_random_tokens(executor, compiled.inputs.tokens, config.model.vocab_size);
  write_random_tokens(executor, compiled.inputs.targets, config.model.vocab_size);
  Stopwatch stopwatch(program);
  executor.set_observer(&stopwatch);
  StepState state;
  state.target_tokens = static_cast<double>(config.batch.tokens_per_step);
  state.learning_rate = 1e-4;
  for (int run = 0; run < kRuns; ++run) {
    executor.run(Part::micro_step, state);
    executor.run(Part::update, state);
    ++state.updates;
  }

  struct Sum {
    double ops = 0, log_rows = 0, seconds = 0, flops = 0, bytes = 0;
  };
  std::map<std::string, Sum> sums;
  for (std::size_t i = 0; i < program.ops().size(); ++i) {
    const Op& op = program.ops()[i];
    if (!std::isfinite(stopwatch.seconds(i))) continue;
    Sum& sum = sums[CostModel::key_of(program, op)];
    sum.ops += 1;
    sum.log_rows += std::log(CostModel::rows_of(program, op));
    sum.seconds += stopwatch.seconds(i);
    sum.flops += op.flops;
    sum.bytes += op.bytes;
  }
  for (const auto& [key, sum] : sums) {
    costs.add(key, {.rows = std::exp(sum.log_rows / sum.ops),
                    .seconds_per_flop = sum.flops > 0 ? sum.seconds / sum.flops : 0,
                    .seconds_per_byte = sum.bytes > 0 ? sum.seconds / sum.bytes : 0});
  }
}

// What the measured rates hold for: this device, this build of the program, these forms of ops.
std::string fingerprint(const RunConfig& config, const Backend& backend) {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const nlohmann::json all = to_json(config);
  std::string text = backend.description() + all.at("precision").dump() +
                     all.at("optimizer").at("type").dump() + all.at("optimizer").at("state").dump();
  if (!error) {
    text += std::to_string(std::filesystem::file_size(program, error));
    text +=
        std::to_string(std::filesystem::last_write_time(program, error).time_since_epoch().count());
  }
  return text;
}

nlohmann::json to_json(const CostModel& costs) {
  nlohmann::json rates = nlohmann::json::object();
  for (const auto& [key, list] : costs.rates()) {
    for (const OpRate& rate : list) {
      rates[key].push_back({rate.rows, rate.seconds_per_flop, rate.seconds_per_byte});
    }
  }
  return rates;
}

bool plausible(double value) { return std::isfinite(value) && value >= 0 && value < 1; }

// Throws whatever a damaged file makes it throw.
CostModel costs_of(const nlohmann::json& rates) {
  CostModel costs;
  for (const auto& [key, list] : rates.items()) {
    for (const auto& rate : list) {
      const OpRate read{rate.at(0), rate.at(1), rate.at(2)};
      if (!(read.rows >= 1) || !plausible(read.seconds_per_flop) ||
          !plausible(read.seconds_per_byte)) {
        throw Error(ErrorCode::data, "a rate is out of range", key, "measure again");
      }
      costs.add(key, read);
    }
  }
  return costs;
}

void keep(const CostModel& costs, const std::string& fingerprint,
          const std::filesystem::path& path) {
  try {
    std::filesystem::create_directories(path.parent_path());
    AtomicFile file(path);
    file.write(nlohmann::json{{"measured_for", fingerprint}, {"rates", to_json(costs)}}.dump(1));
    file.commit();
  } catch (const std::exception&) {
    // A read-only home: this process has its costs all the same.
  }
}

}  // namespace

CostModel measure_costs(const RunConfig& config, Backend& backend) {
  CostModel costs;
  for (const char* model : {kDenseModel, kExpertModel}) {
    for (const ProbeSize size : kSizes) {
      measure(probe_config(config, model, size), backend, costs);
    }
  }
  if (config.optimizer.state == OptimizerState::automatic) {
    for (const OptimizerState state : {OptimizerState::bf16, OptimizerState::int8}) {
      RunConfig probe = probe_config(config, kDenseModel, kSizes.front());
      probe.optimizer.state = state;
      measure(probe, backend, costs);
    }
  }
  return costs;
}

std::filesystem::path costs_file(const RunConfig& config, const Backend& backend) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path folder =
      cache != nullptr && *cache != 0 ? std::filesystem::path(cache)
      : home != nullptr && *home != 0 ? std::filesystem::path(home) / ".cache"
                                      : std::filesystem::temp_directory_path();
  const std::string text = fingerprint(config, backend);
  return folder / "ingot" / ("costs-" + std::to_string(hash_of(text)) + ".json");
}

CostModel machine_costs(const RunConfig& config, Backend& backend) {
  const std::filesystem::path path = costs_file(config, backend);
  const std::string wanted = fingerprint(config, backend);
  try {
    const nlohmann::json stored = read_json(path, ErrorCode::data);
    if (stored.at("measured_for") == wanted) return costs_of(stored.at("rates"));
  } catch (const std::exception&) {
    // Missing or damaged: measured again, and mended.
  }
  CostModel costs = measure_costs(config, backend);
  keep(costs, wanted, path);
  return costs;
}

}  // namespace ingot

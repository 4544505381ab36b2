// RunConfig: everything a run is told (docs/config.md lists every key). The defaults stand here;
// the names, ranges and sentences in engine/config/config_fields.cc, the one table that reads,
// checks, prints and documents them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/mistakes.h"
#include "engine/model/model_config.h"

namespace ingot {

enum class Device { cpu, cuda };

inline constexpr std::int64_t kDefaultValidationTokens = 65536;
inline constexpr std::int64_t kValidationBatch = 8;  // sequences

struct DataConfig {
  std::vector<std::string> train;       // shard files, patterns with * and ?
  std::vector<std::string> validation;  // may be empty
  std::string tokenizer;                // "": tokenizer.json beside the first training shard
  std::int64_t sequence_length = 512;
  std::int64_t validation_tokens = kDefaultValidationTokens;  // 0 = all of the shards
  // What older configs have instead: batches of kValidationBatch sequences; 0 = all of the shards.
  std::optional<std::int64_t> validation_batches;

  // Sequences of one validation, at least one; 0 = all of the shards. No plan changes it.
  std::int64_t validation_sequences() const;
};

struct BatchConfig {
  std::int64_t tokens_per_step = 32768;     // of all ranks together
  std::optional<std::int64_t> micro_batch;  // sequences; none = auto, the planner's choice
};

enum class OptimizerType { adamw, muon };
enum class OptimizerState { fp32, bf16, int8, automatic };

struct OptimizerConfig {
  OptimizerType type = OptimizerType::adamw;
  double learning_rate = 3e-4;       // the schedule's peak
  double muon_learning_rate = 0.02;  // the same of what Muon updates
  std::array<double, 2> betas = {0.9, 0.95};
  double epsilon = 1e-8;
  double weight_decay = 0.1;  // tensors of two or more dimensions only
  double clip_norm = 1.0;     // 0 = off
  OptimizerState state = OptimizerState::fp32;
  bool update_in_backward = false;
};

enum class ScheduleType { constant, linear, cosine, wsd, multi_step };
enum class DecayShape { linear, cosine };

// The learning rate of a step is learning_rate times a factor: warm-up from 0 over warmup_steps,
// then by type.
struct ScheduleConfig {
  ScheduleType type = ScheduleType::cosine;
  std::int64_t warmup_steps = 100;
  std::int64_t steps = 2000;
  double final_ratio = 0.1;                     // linear, cosine, wsd: the factor at the end
  double decay_fraction = 0.2;                  // wsd: this last part of the steps falls
  std::int64_t decay_steps = 0;                 // wsd: if not 0, replaces decay_fraction
  DecayShape decay_shape = DecayShape::linear;  // wsd
  // multi_step: at milestones[i] the factor becomes factors[i]; a milestone below 1 is a fraction
  // of `steps`, else a step. DeepSeek LLM's (arXiv 2401.02954, section 2.3) are the defaults.
  std::vector<double> milestones = {0.8, 0.9};
  std::vector<double> factors = {0.316, 0.1};
};

enum class ComputeType { fp32, bf16, fp16, int8 };
enum class WgradType { bf16, int8 };
enum class HeadType { bf16, int8 };
enum class Int8Scales { row = 0, blocks_of_512 = 512, blocks_of_128 = 128 };
enum class MasterType { fp32, bf16, bf16_residual, int8 };
enum class GradientType { fp32, bf16, bf16_residual };

struct PrecisionConfig {
  ComputeType compute = ComputeType::bf16;
  WgradType wgrad = WgradType::int8;  // with int8 compute, as the next two
  HeadType head = HeadType::bf16;
  Int8Scales int8_scales = Int8Scales::row;
  MasterType master = MasterType::fp32;
  GradientType gradient = GradientType::fp32;
  std::optional<double> loss_scale;  // fp16 only; none = dynamic
};

// "auto" (neither member), bytes, or a fraction of what the machine has.
struct MemoryBudget {
  std::optional<std::int64_t> bytes;
  std::optional<double> fraction;

  bool operator==(const MemoryBudget&) const = default;
};

enum class MemoryPolicy { automatic, keep };
enum class ActivationPolicy { automatic, keep, int8, compact, recompute };
enum class OffloadPolicy { automatic, none, states, masters, all };

constexpr std::int64_t kMostFetchAhead = 16;

struct MemoryConfig {
  MemoryBudget budget;
  ActivationPolicy activations = ActivationPolicy::automatic;
  MemoryPolicy weights = MemoryPolicy::automatic;
  OffloadPolicy offload = OffloadPolicy::automatic;
  std::string offload_directory;           // "": checkpoint.directory
  std::optional<std::int64_t> head_chunk;  // tokens; none = auto, the planner's choice
  // How many copies from the file start before their use; none = auto, the planner's choice.
  std::optional<std::int64_t> fetch_ahead;
};

struct ParallelConfig {
  std::optional<std::int64_t> data;  // none = auto: the ranks the others leave
  std::int64_t tensor = 1, pipeline = 1, expert = 1;
  std::optional<std::int64_t> zero;  // ZeRO stage; none = auto

  // A run on several ranks has their number in `data` before it is planned.
  std::int64_t data_ranks() const { return data.value_or(1); }
};

// [[step, value], ...] with rising steps from 0, or one number: the value from that step on.
struct StepValues {
  std::vector<std::pair<std::int64_t, double>> points;  // never empty, starts at step 0

  double at(std::int64_t step) const;
  bool operator==(const StepValues&) const = default;
};

enum class BalanceType { sequence, batch };

// Training objective beside the next-token loss (spec/deepseek.md 4.4, 4.5, 5.2).
struct LossConfig {
  StepValues mtp_weight = {{{0, 0.3}}};  // lambda: of the mean over the MTP modules
  double balance_weight = 1e-4;          // alpha, per MoE layer; 0 = off
  BalanceType balance_type = BalanceType::sequence;
  double bias_update_rate = 0.001;     // gamma of the aux-loss-free update
  std::int64_t bias_update_until = 0;  // tokens seen; 0 = no end
};

struct SpikeConfig {
  double z_score = 0;  // an update is skipped when loss or norm is this far above its mean; 0 = off
  std::int64_t window = 200;  // steps the mean and deviation are taken over
  std::int64_t limit = 100;   // spikes in a row before exit 5
};

struct CheckpointConfig {
  std::string directory;     // "": runs/NAME in the current folder, NAME from the run config's file
  std::int64_t every = 500;  // steps; 0 = only at the end
  std::int64_t keep = 3;     // newest kept; 0 = all
};

struct LogConfig {
  std::int64_t every = 10;            // steps
  std::int64_t validate_every = 200;  // steps; 0 = never
  std::int64_t sample_every = 0;      // steps; 0 = never
  std::string sample_prompt;
  std::int64_t sample_tokens = 64;
  bool tensorboard = false;
};

struct RunConfig {
  ModelConfig model;
  std::string model_path;  // where `model` was read from; "" = it stood in the run config
  Device device = Device::cpu;
  DataConfig data;
  BatchConfig batch;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  PrecisionConfig precision;
  MemoryConfig memory;
  ParallelConfig parallel;
  LossConfig loss;
  SpikeConfig spike;
  CheckpointConfig checkpoint;
  LogConfig log;
  std::int64_t nonfinite_limit = 10;  // consecutive non-finite steps before exit 5
  std::int64_t threads = 0;           // 0 = all the machine's
  std::int64_t seed = 1;
};

// Reads a run config and then applies `overrides` ("optimizer.learning_rate=1e-3": the value is
// JSON, else text). Relative paths in the file are relative to its folder, those of overrides to
// the current one; the result holds them resolved. The model is loaded with it. Throws ConfigError
// with all mistakes, file and line.
RunConfig load_run_config(const std::filesystem::path& path,
                          const std::vector<std::string>& overrides = {});

// The same from text that stands for a file `name` in `folder`.
RunConfig parse_run_config(std::string_view text, const std::string& name,
                           const std::filesystem::path& folder,
                           const std::vector<std::string>& overrides = {});

// The same of a config that a run was begun with: what its fields say together is not judged again.
RunConfig parse_recorded_config(std::string_view text, const std::string& name,
                                const std::filesystem::path& folder);

// Every key with its value, the model inline, paths absolute: parse_run_config gives `config` back
// wherever the text lies.
nlohmann::json to_json(const RunConfig& config);

std::string_view name_of(OptimizerState state);

// The dtype that activations and matrices are stored in.
DType storage_dtype(ComputeType compute);

// Settings that are not as they would be by default, but that the others keep from having any
// effect: a line for each, which says why. Of a model without experts and the like as well.
std::vector<std::string> settings_without_effect(const RunConfig& config);

// docs/config.md, whole.
std::string config_reference();

}  // namespace ingot

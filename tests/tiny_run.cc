#include "tests/tiny_run.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "data/shards/shard_testing.h"
#include "engine/numbers/random.h"
#include "io/checkpoint_files.h"
#include "ops/cpu_kernels.h"

namespace ingot {
namespace {

using nlohmann::json;

constexpr std::uint32_t kVocabulary = 64;
constexpr std::int64_t kSequence = 16;

json run_json(const std::string& family, const std::string& compute) {
  json run = {{"model", "model.json"},
              {"data",
               {{"train", {"data/train-*.bin"}},
                {"validation", {"data/validation-*.bin"}},
                {"sequence_length", kSequence},
                {"validation_tokens", 4 * kSequence}}},
              {"batch", {{"tokens_per_step", 4 * kSequence}, {"micro_batch", 2}}},
              {"optimizer", {{"learning_rate", 1e-2}}},
              {"schedule", {{"type", "cosine"}, {"warmup_steps", 2}, {"steps", 8}}},
              {"precision", {{"compute", compute}}},
              {"checkpoint", {{"directory", "run"}, {"every", 1}, {"keep", 0}}},
              {"log", {{"every", 1}, {"validate_every", 4}}}};
  if (family.starts_with("deepseek")) run["loss"] = {{"balance_weight", 0.01}};
  return run;
}

}  // namespace

std::string tiny_model(const std::string& family) {
  json model = {{"model_type", family},
                {"vocab_size", kVocabulary},
                {"hidden_size", 32},
                {"intermediate_size", 48},
                {"num_hidden_layers", 2},
                {"num_attention_heads", 4},
                {"num_key_value_heads", 2},
                {"max_position_embeddings", 64},
                {"rms_norm_eps", 1e-6},
                {"rope_theta", 10000},
                {"hidden_act", "silu"},
                {"initializer_range", 0.05},
                {"tie_word_embeddings", false},
                {"bos_token_id", 0},
                {"eos_token_id", 0}};
  if (family == "qwen2") model["tie_word_embeddings"] = true;
  if (family == "qwen3") model["head_dim"] = 16;
  if (family.starts_with("deepseek")) {
    model.update({{"num_key_value_heads", 4},
                  {"first_k_dense_replace", 1},
                  {"moe_intermediate_size", 24},
                  {"n_routed_experts", 8},
                  {"n_shared_experts", 1},
                  {"num_experts_per_tok", 2},
                  {"kv_lora_rank", 16},
                  {"q_lora_rank", nullptr},
                  {"qk_nope_head_dim", 8},
                  {"qk_rope_head_dim", 8},
                  {"v_head_dim", 8}});
  }
  if (family == "deepseek_v2") {
    model.update({{"topk_method", "greedy"},
                  {"scoring_func", "softmax"},
                  {"norm_topk_prob", false},
                  {"n_group", 1},
                  {"topk_group", 1},
                  {"routed_scaling_factor", 1.0}});
  }
  if (family == "deepseek_v3") {
    model.update({{"q_lora_rank", 24},
                  {"topk_method", "noaux_tc"},
                  {"scoring_func", "sigmoid"},
                  {"norm_topk_prob", true},
                  {"n_group", 4},
                  {"topk_group", 2},
                  {"routed_scaling_factor", 2.5},
                  {"num_nextn_predict_layers", 1}});
  }
  return model.dump(1);
}

std::vector<std::uint32_t> learnable_tokens(std::size_t count, std::uint32_t vocabulary,
                                            std::uint64_t seed) {
  std::vector<std::uint32_t> tokens(count);
  std::uint32_t token = 1;
  for (std::size_t i = 0; i < count; ++i) {
    const auto words = philox(seed, 0, i);
    token = words[0] % 8 == 0 ? words[1] % vocabulary : (5 * token + 3) % vocabulary;
    tokens[i] = token;
  }
  return tokens;
}

TinyRun::TinyRun(const std::string& family, const std::string& compute) {
  std::filesystem::create_directory(folder_ / "data");
  // 2 x 190 tokens: 23 samples of 16.
  write_shard(folder_ / "data/train-00000", learnable_tokens(190, kVocabulary, 1), kVocabulary);
  write_shard(folder_ / "data/train-00001", learnable_tokens(190, kVocabulary, 2), kVocabulary);
  write_shard(folder_ / "data/validation-00000", learnable_tokens(100, kVocabulary, 3),
              kVocabulary);
  put_file(folder_ / "model.json", tiny_model(family));
  put_file(folder_ / "run.json", run_json(family, compute).dump(1));
}

std::string setting(const std::string& key, const std::string& json) { return key + "=" + json; }

RunConfig TinyRun::config(const std::string& name, std::vector<std::string> overrides) const {
  overrides.push_back("checkpoint.directory=" + directory(name).string());
  return load_run_config(config_file(), overrides);
}

int TinyRun::train(const std::string& name, const std::vector<std::string>& overrides,
                   TrainOptions options) const {
  cpu::CpuBackend backend = tiny_backend(options.threads);
  return ingot::train(config(name, overrides), options, backend, /*peak_flops=*/0);
}

cpu::CpuBackend tiny_backend(int threads) { return {threads, cpu::all_cpu_kernels()}; }

std::map<std::string, std::string> checkpoint_contents(const std::filesystem::path& checkpoint) {
  const CheckpointReader reader = CheckpointReader::open(checkpoint);
  std::map<std::string, std::string> contents;
  for (const auto& [name, entry] : reader.tensors()) {
    contents.emplace(
        name, std::string(reinterpret_cast<const char*>(entry->bytes.data()), entry->bytes.size()));
  }
  const json manifest = json::parse(reader.manifest_text());
  if (manifest.contains("trainer")) contents["trainer"] = manifest["trainer"].dump();
  return contents;
}

std::vector<std::string> timeless_metrics(const std::filesystem::path& directory) {
  std::istringstream lines(contents_of(directory / "metrics.jsonl"));
  std::vector<std::string> kept;
  for (std::string line; std::getline(lines, line);) {
    json values = json::parse(line);
    if (values.contains("build")) continue;  // one for each start
    for (const char* name : {"tokens_per_second", "step_seconds", "mfu", "arena_bytes",
                             "peak_rss_bytes", "budget_bytes"}) {
      values.erase(name);
    }
    kept.push_back(values.dump());
  }
  return kept;
}

std::vector<double> metric(const std::filesystem::path& directory, const std::string& name) {
  std::istringstream lines(contents_of(directory / "metrics.jsonl"));
  std::vector<double> values;
  for (std::string line; std::getline(lines, line);) {
    const json all = json::parse(line);
    if (const auto value = all.find(name); value != all.end()) {
      values.push_back(value->is_null() ? NAN : value->get<double>());
    }
  }
  return values;
}

}  // namespace ingot

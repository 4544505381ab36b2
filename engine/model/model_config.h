// ModelConfig: the architecture of a model, read from Hugging Face's config.json as it stands.
//
// Members keep Hugging Face's field names. A config that was loaded is valid: sizes are positive
// and small enough that no count of parameters, FLOPs or bytes overflows, heads and expert groups
// divide, and whatever this version can't compute was refused by name. Whoever fills one by hand
// calls validate().
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "engine/numbers/dtype.h"

namespace ingot {

enum class ModelFamily { llama, qwen2, qwen3, deepseek_v2, deepseek_v3 };

// "llama", "deepseek_v3", ...: the model_type of config.json.
std::string_view name_of(ModelFamily family);

enum class RopeType { plain, linear, llama3, yarn };  // plain is "default" in config.json

// Rotary embedding over head_dim channels (spec/deepseek.md 1.2, 2.3, 3). Members that a type does
// not read keep their defaults.
struct RopeConfig {
  RopeType rope_type = RopeType::plain;
  double rope_theta = 10000;
  double factor = 1;                                  // linear, llama3, yarn
  std::int64_t original_max_position_embeddings = 0;  // llama3, yarn
  double low_freq_factor = 1, high_freq_factor = 4;   // llama3
  double beta_fast = 32, beta_slow = 1;               // yarn
  double mscale = 0, mscale_all_dim = 0;   // yarn; all_dim with MLA all but plain; 0: "not given"
  std::optional<double> attention_factor;  // yarn; overrides the one from mscale
  bool truncate = true;                    // yarn
  bool interleaved = false;                // pairs (2i, 2i+1) as in MLA; else (i, i + head_dim / 2)

  bool operator==(const RopeConfig&) const = default;
};

// Multi-head latent attention (spec 2). Query and key heads are qk_nope_head_dim + qk_rope_head_dim
// wide, value heads v_head_dim.
struct MlaConfig {
  std::optional<std::int64_t> q_lora_rank;  // none: one q_proj instead of q_a, norm, q_b
  std::int64_t kv_lora_rank = 0;
  std::int64_t qk_nope_head_dim = 0, qk_rope_head_dim = 0, v_head_dim = 0;

  std::int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  bool operator==(const MlaConfig&) const = default;
};

enum class ScoringFunc { softmax, sigmoid };
enum class TopkMethod { greedy, group_limited_greedy, noaux_tc };

// DeepSeekMoE (spec 4). softmax with greedy or group_limited_greedy (V2; weights not normalised),
// sigmoid with noaux_tc (V3; has the selection bias).
struct MoeConfig {
  std::int64_t n_routed_experts = 0, n_shared_experts = 0;  // shared: one SwiGLU of n * width
  std::int64_t num_experts_per_tok = 0;
  std::int64_t moe_intermediate_size = 0;
  std::int64_t first_k_dense_replace = 0;    // layers below this index are dense
  std::int64_t n_group = 1, topk_group = 1;  // 1, 1 for greedy
  ScoringFunc scoring_func = ScoringFunc::sigmoid;
  TopkMethod topk_method = TopkMethod::noaux_tc;
  bool norm_topk_prob = true;
  double routed_scaling_factor = 1;
  double aux_loss_alpha = 0.001;  // in the file only: the run config's "loss" rules training
  bool seq_aux = true;

  bool has_selection_bias() const { return topk_method == TopkMethod::noaux_tc; }
  bool operator==(const MoeConfig&) const = default;
};

// FP8 weights with weight_scale_inv in a checkpoint to import (spec 7.2).
struct QuantizationConfig {
  std::int64_t block_rows = 128, block_columns = 128;

  bool operator==(const QuantizationConfig&) const = default;
};

struct ModelConfig {
  ModelFamily family = ModelFamily::llama;

  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;  // of the dense feed-forward
  std::int64_t num_hidden_layers = 0;  // without the MTP modules
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;  // = num_attention_heads with MLA
  std::int64_t head_dim = 0;             // with MLA qk_rope_head_dim: always the rotated width
  std::int64_t max_position_embeddings = 0;

  bool qkv_bias = false;  // qwen2: always; others: attention_bias; MLA: of q_a and kv_a_proj
  bool o_bias = false;    // attention_bias; never in qwen2
  bool mlp_bias = false;  // llama, deepseek_v2: in the dense feed-forward and the shared experts
  bool qk_norm = false;   // qwen3: RMSNorm over each head of q and k, before RoPE
  bool tie_word_embeddings = false;
  double rms_norm_eps = 1e-6;
  double initializer_range = 0.02;  // standard deviation of fresh weights

  RopeConfig rope;
  std::optional<MlaConfig> mla;  // deepseek_v2, deepseek_v3: always
  std::optional<MoeConfig> moe;
  std::int64_t num_nextn_predict_layers = 0;  // MTP modules

  std::optional<std::int64_t> bos_token_id, pad_token_id;
  std::vector<std::int64_t> eos_token_ids;  // none, one or several
  DType dtype = DType::bf16;                // what config.json says the weights are stored in
  std::optional<QuantizationConfig> quantization;

  // layer counts from 0; the MTP modules (layer >= num_hidden_layers) are MoE layers.
  bool is_moe_layer(std::int64_t layer) const { return moe && layer >= moe->first_k_dense_replace; }
  std::int64_t query_key_dim() const { return mla ? mla->qk_head_dim() : head_dim; }  // of one head
  std::int64_t value_dim() const { return mla ? mla->v_head_dim : head_dim; }         // of one head

  bool operator==(const ModelConfig&) const = default;
};

// Reads config.json, or a folder that holds one. Missing fields take the defaults of the family in
// transformers, fields it doesn't know are skipped. Throws ConfigError with all mistakes.
ModelConfig load_model_config(const std::filesystem::path& path, ErrorCode code = ErrorCode::usage);

// The same from parsed JSON; `name` is what messages call it.
ModelConfig parse_model_config(const nlohmann::json& json, const std::string& name,
                               ErrorCode code = ErrorCode::usage);

// Throws ConfigError(usage) if `config` breaks a rule that a loaded one keeps.
void validate(const ModelConfig& config, const std::string& name);

// A complete config.json: loads in transformers, and load_model_config gives `config` back, except
// that `quantization` is left out (what ingot writes is not quantized).
nlohmann::json to_hf_json(const ModelConfig& config);

// Exact numbers of weights (spec 8.2).
struct ParameterCount {
  std::int64_t total = 0;   // without MTP, with the selection biases; a tied matrix once
  std::int64_t active = 0;  // used by one token: both vocabulary matrices, top-k experts, router
  std::int64_t active_without_embedding = 0;  // a tied matrix counts: it is the head
  std::int64_t mtp = 0;             // of all MTP modules, without the shared embedding and head
  std::int64_t active_mtp = 0;      // the part of `mtp` one token uses
  std::int64_t selection_bias = 0;  // part of total and active, not trained by gradients
};
ParameterCount count_parameters(const ModelConfig& config);

// FLOPs of forward and backward for one token of a sequence of `sequence_length` (spec 8.4), causal
// attention counted by half, recomputation not counted. with_mtp adds the MTP modules and their
// passes through the head.
double training_flops_per_token(const ModelConfig& config, std::int64_t sequence_length,
                                bool with_mtp = false, bool causal = true);

}  // namespace ingot

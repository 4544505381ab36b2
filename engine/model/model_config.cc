#include "engine/model/model_config.h"

#include <algorithm>
#include <string>

#include "engine/base/json.h"
#include "engine/model/model_config_fields.h"

namespace ingot {
namespace {

constexpr std::string_view kFamilyNames[kFamilies] = {"llama", "qwen2", "qwen3", "deepseek_v2",
                                                      "deepseek_v3"};
constexpr const char* kArchitectures[kFamilies] = {"LlamaForCausalLM", "Qwen2ForCausalLM",
                                                   "Qwen3ForCausalLM", "DeepseekV2ForCausalLM",
                                                   "DeepseekV3ForCausalLM"};
// config.json is read within this; the published ones have 2 KiB.
constexpr JsonLimits kLimits = {.bytes = 1 << 20, .depth = 16, .python_numbers = true};

// What the reader takes apart, back together.
ModelDraft draft_of(const ModelConfig& config) {
  ModelDraft draft;
  draft.config = config;
  draft.num_key_value_heads = config.num_key_value_heads;
  draft.head_dim = config.head_dim;
  draft.attention_bias = config.o_bias;
  if (!config.mla) draft.config.mla.emplace();
  if (!config.moe) draft.config.moe.emplace();
  if (config.moe) {
    draft.n_routed_experts = config.moe->n_routed_experts;
    draft.n_shared_experts = config.moe->n_shared_experts;
    draft.num_experts_per_tok = config.moe->num_experts_per_tok;
    draft.n_group = config.moe->n_group;
    draft.topk_group = config.moe->topk_group;
  }
  return draft;
}

// The legacy spelling: every version of transformers, vLLM and the published remote code reads it.
void write_rope(const RopeConfig& rope, Json& json) {
  json["rope_theta"] = rope.rope_theta;
  if (rope.rope_type == RopeType::plain) {
    json["rope_scaling"] = nullptr;
    return;
  }
  Json& scaling = json["rope_scaling"];
  const auto type = [&](const char* name) { scaling["type"] = scaling["rope_type"] = name; };
  scaling["factor"] = rope.factor;
  if (rope.mscale_all_dim != 0) scaling["mscale_all_dim"] = rope.mscale_all_dim;
  if (rope.rope_type == RopeType::linear) {
    type("linear");
    return;
  }
  scaling["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  if (rope.rope_type == RopeType::llama3) {
    type("llama3");
    scaling["low_freq_factor"] = rope.low_freq_factor;
    scaling["high_freq_factor"] = rope.high_freq_factor;
    return;
  }
  type("yarn");
  scaling["beta_fast"] = rope.beta_fast;
  scaling["beta_slow"] = rope.beta_slow;
  if (rope.mscale != 0) scaling["mscale"] = rope.mscale;
  if (rope.attention_factor) scaling["attention_factor"] = *rope.attention_factor;
  if (!rope.truncate) scaling["truncate"] = false;
}

const char* torch_name(DType dtype) {
  return dtype == DType::f32 ? "float32" : dtype == DType::f16 ? "float16" : "bfloat16";
}

ModelConfig parse(const Json& json, const Locate& locate, const JsonLines& lines, ErrorCode code) {
  std::vector<Mistake> mistakes;
  add_duplicates(lines, locate, mistakes);
  const auto config = read_model_config(json, locate, mistakes);
  if (!mistakes.empty()) {
    std::stable_sort(mistakes.begin(), mistakes.end(),
                     [](const Mistake& a, const Mistake& b) { return a.line < b.line; });
    throw ConfigError(code, mistakes);
  }
  return *config;
}

}  // namespace

std::string_view name_of(ModelFamily family) { return kFamilyNames[static_cast<int>(family)]; }

ModelConfig load_model_config(const std::filesystem::path& path, ErrorCode code) {
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(path, ignored);
  const std::filesystem::path file = folder ? path / "config.json" : path;
  JsonLines lines;
  const Json json = read_json(file, code, kLimits, &lines);
  const auto locate = [&](const std::string& pointer) {
    const int line = lines.line_of(pointer);
    return Place{file.string() + ":" + std::to_string(line), line};
  };
  return parse(json, locate, lines, code);
}

ModelConfig parse_model_config(const Json& json, const std::string& name, ErrorCode code) {
  const auto locate = [&](const std::string&) { return Place{name, 0}; };
  return parse(json, locate, {}, code);
}

void validate(const ModelConfig& config, const std::string& name) {
  // Reading back what was written applies every rule; what then differs contradicts the family.
  ModelConfig read = parse_model_config(to_hf_json(config), name);
  read.quantization = config.quantization;
  if (!(read == config)) {
    throw Error(ErrorCode::usage,
                "a model of family " + std::string(name_of(config.family)) +
                    " has members that such a model can't have",
                name);
  }
}

Json to_hf_json(const ModelConfig& config) {
  const auto family = static_cast<std::size_t>(config.family);
  const ModelDraft draft = draft_of(config);
  Json json = {{"model_type", name_of(config.family)},
               {"architectures", {kArchitectures[family]}},
               {"torch_dtype", torch_name(config.dtype)},
               {"use_cache", true}};
  for (const ModelField& each : model_fields()) {
    if (!each.defaults[family].empty()) json[each.field.key] = each.field.write(draft);
  }
  write_rope(config.rope, json);
  if (config.family == ModelFamily::deepseek_v3) json["rope_interleave"] = config.rope.interleaved;
  return json;
}

}  // namespace ingot

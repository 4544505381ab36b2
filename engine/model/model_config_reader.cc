// Reading config.json: the table's fields, then what needs a look at several of them.
#include <algorithm>

#include "engine/base/json.h"
#include "engine/model/model_config_fields.h"

namespace ingot {
namespace {

// Keys of config.json that are no fields of the table, but known.
constexpr const char* kOtherKeys[] = {"model_type",
                                      "architectures",
                                      "torch_dtype",
                                      "dtype",
                                      "transformers_version",
                                      "use_cache",
                                      "pretraining_tp",
                                      "ep_size",
                                      "rope_theta",
                                      "rope_scaling",
                                      "rope_parameters",
                                      "rope_interleave",
                                      "partial_rotary_factor",
                                      "original_max_position_embeddings",
                                      "sliding_window",
                                      "max_window_layers",
                                      "layer_types",
                                      "auto_map",
                                      "qk_head_dim",
                                      "output_router_logits",
                                      "router_aux_loss_coef",
                                      "quantization_config",
                                      "num_mtp_layers",
                                      "num_local_experts",
                                      "num_experts",
                                      "attn_implementation",
                                      "_attn_implementation",
                                      "_name_or_path"};

// transformers' other names for a field.
std::vector<std::string> spellings(const std::string& key) {
  if (key == "num_nextn_predict_layers") return {key, "num_mtp_layers"};
  if (key == "n_routed_experts") return {key, "num_local_experts", "num_experts"};
  return {key};
}

class Reader {
 public:
  Reader(const Json& json, const Locate& locate, std::vector<Mistake>& mistakes)
      : json_(json), locate_(locate), complaints_(locate, mistakes) {}

  std::optional<ModelConfig> read() {
    if (!json_.is_object()) {
      complaints_.add("", "the model is " + shown(json_),
                      "an object with the fields of a config.json");
      return std::nullopt;
    }
    if (!read_family()) return std::nullopt;
    draft_.config.mla.emplace();
    draft_.config.moe.emplace();
    read_fields();
    read_rope(json_, draft_.config, complaints_);
    read_layer_types();
    read_dtype();
    read_quantization();
    find_misspelled();
    if (good()) finish();
    if (!good()) return std::nullopt;
    return std::move(draft_.config);
  }

 private:
  bool good() const { return complaints_.none(); }
  ModelConfig& config() { return draft_.config; }
  bool is_deepseek() const { return draft_.config.family >= ModelFamily::deepseek_v2; }
  bool is_v3() const { return draft_.config.family == ModelFamily::deepseek_v3; }

  const Json* find(const std::string& key) const {
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }

  bool read_family() {
    std::vector<std::string> names;
    for (int i = 0; i < kFamilies; ++i) names.emplace_back(name_of(static_cast<ModelFamily>(i)));
    const Json* const type = find("model_type");
    if (!type) {
      complaints_.add("", "\"model_type\" is missing in the model", list_of_words(names));
      return false;
    }
    for (int i = 0; i < kFamilies; ++i) {
      if (*type != names[i]) continue;
      config().family = static_cast<ModelFamily>(i);
      return true;
    }
    complaints_.wrong("model_type", *type,
                      not_one_of(type->is_string() ? type->get<std::string>() : "", names));
    return false;
  }

  void read_fields() {
    const auto family = static_cast<std::size_t>(config().family);
    for (const ModelField& each : model_fields()) {
      const std::string_view fallback = each.defaults[family];
      if (fallback.empty()) continue;
      const Json* given = nullptr;
      std::string key;
      for (const std::string& spelling : spellings(each.field.key)) {
        const Json* const found = find(spelling);
        if (!found) continue;
        if (given && *given != *found) two_spellings(key, *given, spelling, *found);
        given = found;
        key = spelling;
      }
      if (!given) {
        each.field.read(Json::parse(fallback), {}, draft_);
      } else if (std::string expected = each.field.read(*given, {}, draft_); !expected.empty()) {
        complaints_.wrong(key, *given, std::move(expected));
      }
    }
  }

  void read_layer_types() {
    const Json* const types = find("layer_types");
    if (!types || types->is_null()) return;
    if (!types->is_array()) {
      complaints_.wrong("layer_types", *types, "a list of \"full_attention\"");
      return;
    }
    for (const Json& type : *types) {
      if (type == "full_attention") continue;
      complaints_.wrong("layer_types", type, "only \"full_attention\" is supported");
      return;
    }
  }

  // One setting under two names: what both say must be the same.
  void two_spellings(const std::string& one, const Json& says, const std::string& other,
                     const Json& wants) {
    complaints_.wrong(other, wants, "the same as \"" + one + "\" (" + shown(says) + ")");
  }

  void read_dtype() {
    const Codec<DType> codec = one_of<DType>(
        {{"bfloat16", DType::bf16}, {"float16", DType::f16}, {"float32", DType::f32}});
    const Json* first = nullptr;
    for (const char* const key : {"torch_dtype", "dtype"}) {
      const Json* const given = find(key);
      if (!given || given->is_null()) continue;
      if (first && *first != *given) two_spellings("torch_dtype", *first, key, *given);
      first = given;
      if (std::string expected = codec.read(*given, {}, config().dtype); !expected.empty()) {
        complaints_.wrong(key, *given, std::move(expected));
      }
    }
  }

  // Those that name the type elsewhere say so there; each tensor's is looked at when it is read.
  static bool is_fp8(const Json& method, const Json& config) {
    if (method == "fp8" || method == "fbgemm_fp8") return true;
    const std::string text = config.dump(-1, ' ', false, Json::error_handler_t::replace);
    const auto says = [&text](const char* part) { return text.find(part) != std::string::npos; };
    if (method == "compressed-tensors") {
      return says("\"type\":\"float\"") && says("\"num_bits\":8") && !says("\"num_bits\":4");
    }
    if (method == "modelopt") return says("\"quant_algo\":\"FP8");
    return method == "quark" && says("\"fp8_e4m3\"");
  }

  void read_quantization() {
    const Json* const given = find("quantization_config");
    if (!given || given->is_null()) return;
    const std::string pointer = "/quantization_config";
    if (!given->is_object()) {
      complaints_.wrong("quantization_config", *given, "an object or null");
      return;
    }
    const Json method = given->value("quant_method", Json());
    if (!is_fp8(method, *given)) {
      complaints_.wrong(
          pointer + "/quant_method", "quant_method", method,
          "only weights in FP8 can be imported: \"fp8\", \"fbgemm_fp8\", and those of "
          "\"compressed-tensors\", \"modelopt\" and \"quark\" in that type");
    }
    const Json format = given->value("fmt", Json("e4m3"));
    if (format != "e4m3") {
      complaints_.wrong(pointer + "/fmt", "fmt", format, "only \"e4m3\" can be imported");
    }
    Json sizes = given->value("weight_block_size", Json());
    if (sizes.is_null()) sizes = Json::array({128, 128});
    const Codec<std::vector<std::int64_t>> codec = list_of(integer(1, 65536));
    std::vector<std::int64_t> read;
    if (!codec.read(sizes, {}, read).empty() || read.size() != 2) {
      complaints_.wrong(pointer + "/weight_block_size", "weight_block_size", sizes,
                        "two positive integers");
      return;
    }
    config().quantization = {read[0], read[1]};
  }

  void find_misspelled() {
    std::vector<std::string_view> known(std::begin(kOtherKeys), std::end(kOtherKeys));
    for (const ModelField& each : model_fields()) known.push_back(each.field.key);
    for (const auto& [key, value] : json_.items()) {
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      if (!locate_(pointer_step(key)).ours) continue;
      const std::string_view near = nearest(key, known);
      if (near.empty()) continue;
      complaints_.add(pointer_step(key), "unknown key \"" + clipped(key) + "\" in the model",
                      "did you mean \"" + std::string(near) + "\"?");
    }
  }

  // What several fields say together. Every field is good by itself.
  void finish() {
    ModelConfig& model = config();
    model.qkv_bias = draft_.attention_bias || model.family == ModelFamily::qwen2;
    model.o_bias = draft_.attention_bias;
    model.qk_norm = model.family == ModelFamily::qwen3;
    finish_heads();
    if (is_deepseek()) {
      finish_experts();
    } else {
      model.mla.reset();
      model.moe.reset();
    }
    if (model.num_nextn_predict_layers > 0 && !model.moe) {
      complaints_.wrong("num_nextn_predict_layers", model.num_nextn_predict_layers,
                        "0 in a model without experts");
    }
    if (model.rope.rope_type == RopeType::plain) {
      model.rope.original_max_position_embeddings = 0;
    }
  }

  void finish_heads() {
    ModelConfig& model = config();
    const std::int64_t heads = model.num_attention_heads;
    model.num_key_value_heads = draft_.num_key_value_heads.value_or(heads);
    if (model.mla && is_deepseek()) {
      model.head_dim = model.mla->qk_rope_head_dim;
      if (model.num_key_value_heads != heads) {
        complaints_.wrong("num_key_value_heads", model.num_key_value_heads,
                          "with latent attention it equals \"num_attention_heads\" (" +
                              std::to_string(heads) + ")");
      }
    } else {
      model.head_dim = draft_.head_dim.value_or(model.hidden_size / heads);
      if (heads % model.num_key_value_heads != 0) {
        complaints_.wrong("num_key_value_heads", model.num_key_value_heads,
                          "a divisor of \"num_attention_heads\" (" + std::to_string(heads) + ")");
      }
    }
    // The families whose class in transformers insists on it, and where the head width follows.
    const bool must_divide = model.family == ModelFamily::llama ||
                             model.family == ModelFamily::deepseek_v2 ||
                             (!is_deepseek() && !draft_.head_dim);
    if (must_divide && model.hidden_size % heads != 0) {
      complaints_.wrong("num_attention_heads", heads,
                        "a divisor of \"hidden_size\" (" + std::to_string(model.hidden_size) + ")");
    } else if (model.head_dim % 2 != 0) {
      complaints_.wrong(is_deepseek() ? "qk_rope_head_dim" : "head_dim", model.head_dim,
                        "an even number: RoPE rotates pairs");
    }
  }

  void finish_experts() {
    MoeConfig& experts = *config().moe;
    if (!draft_.n_routed_experts) {
      config().moe.reset();
      return;
    }
    experts.n_routed_experts = *draft_.n_routed_experts;
    experts.n_shared_experts = draft_.n_shared_experts.value_or(0);
    if (!draft_.num_experts_per_tok) {
      complaints_.add("", "\"num_experts_per_tok\" is missing in the model",
                      "the routed experts of a token");
      return;
    }
    experts.num_experts_per_tok = *draft_.num_experts_per_tok;
    if (experts.n_shared_experts * experts.moe_intermediate_size > std::int64_t{1} << 20) {
      complaints_.wrong("n_shared_experts", experts.n_shared_experts,
                        "together at most 1048576 wide");
    }
    finish_gate(experts);
    finish_groups(experts);
  }

  // Which score goes with which selection: spec/deepseek.md 4.2.
  void finish_gate(const MoeConfig& experts) {
    const std::string family = "in " + std::string(name_of(config().family)) + " only ";
    if ((experts.scoring_func == ScoringFunc::sigmoid) != is_v3()) {
      complaints_.wrong("scoring_func", is_v3() ? "softmax" : "sigmoid",
                        family + (is_v3() ? "\"sigmoid\"" : "\"softmax\"") + " is supported");
    }
    if ((experts.topk_method == TopkMethod::noaux_tc) != is_v3()) {
      const bool grouped = experts.topk_method == TopkMethod::group_limited_greedy;
      complaints_.wrong(
          "topk_method",
          !is_v3()  ? "noaux_tc"
          : grouped ? "group_limited_greedy"
                    : "greedy",
          family + (is_v3() ? "\"noaux_tc\" is" : "\"greedy\" and \"group_limited_greedy\" are") +
              " supported");
    }
    // transformers ignores it in V2, the published remote code doesn't scale then.
    if (!is_v3() && experts.norm_topk_prob) {
      complaints_.wrong("norm_topk_prob", true, family + "false is supported");
    }
  }

  void finish_groups(MoeConfig& experts) {
    const std::int64_t routed = experts.n_routed_experts, top = experts.num_experts_per_tok;
    experts.n_group = draft_.n_group.value_or(1);
    experts.topk_group = draft_.topk_group.value_or(1);
    if (experts.topk_method == TopkMethod::greedy) experts.n_group = experts.topk_group = 1;
    const std::int64_t groups = experts.n_group, kept = experts.topk_group;
    if (top > routed) {
      complaints_.wrong("num_experts_per_tok", top,
                        "at most \"n_routed_experts\" (" + std::to_string(routed) + ")");
    } else if (routed % groups != 0) {
      complaints_.wrong("n_group", groups,
                        "a divisor of \"n_routed_experts\" (" + std::to_string(routed) + ")");
    } else if (is_v3() && groups > 1 && routed == groups) {
      complaints_.wrong("n_group", groups,
                        "at most " + std::to_string(routed / 2) +
                            ": the score of a group is that of its two best experts");
    } else if (kept > groups) {
      complaints_.wrong("topk_group", kept, "at most \"n_group\" (" + std::to_string(groups) + ")");
    } else if (top > kept * (routed / groups)) {
      complaints_.wrong("num_experts_per_tok", top,
                        "at most the " + std::to_string(kept * (routed / groups)) +
                            " experts of \"topk_group\" groups");
    }
  }

  const Json& json_;
  const Locate& locate_;
  ModelComplaints complaints_;
  ModelDraft draft_;
};

}  // namespace

void ModelComplaints::add(const std::string& pointer, std::string what, std::string mend) {
  Place place = locate_(pointer);
  mistakes_.push_back({std::move(what), std::move(place.where), std::move(mend), place.line});
}

void ModelComplaints::wrong(const std::string& pointer, const std::string& key, const Json& value,
                            std::string mend) {
  add(pointer, "\"" + key + "\" is " + shown(value), std::move(mend));
}

void add_duplicates(const JsonLines& lines, const Locate& locate, std::vector<Mistake>& mistakes) {
  for (const JsonLines::Duplicate& duplicate : lines.duplicates) {
    const std::string key = clipped(std::string_view(duplicate.pointer).substr(1));
    mistakes.push_back({"\"" + key + "\" is given twice", locate(duplicate.pointer).where,
                        "it stands on line " + std::to_string(duplicate.first_line) + " already",
                        duplicate.line});
  }
}

std::optional<ModelConfig> read_model_config(const Json& json, const Locate& locate,
                                             std::vector<Mistake>& mistakes) {
  return Reader(json, locate, mistakes).read();
}

}  // namespace ingot

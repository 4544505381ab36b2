#include "engine/model/model_config_fields.h"

#include <utility>

namespace ingot {
namespace {

// Bounds of sizes. Together they keep every count of parameters (and its bytes) within 63 bits:
// layers * experts * 3 * hidden * expert width < 2^58.
constexpr std::int64_t kMaxVocabulary = 1 << 24;
constexpr std::int64_t kMaxHidden = 1 << 16;
constexpr std::int64_t kMaxIntermediate = 1 << 20;
constexpr std::int64_t kMaxExpertWidth = 1 << 18;
constexpr std::int64_t kMaxLayers = 1024;
constexpr std::int64_t kMaxHeads = 2048;
constexpr std::int64_t kMaxHeadDim = 4096;
constexpr std::int64_t kMaxExperts = 4096;
constexpr std::int64_t kMaxRank = 1 << 16;
constexpr std::int64_t kMaxPositions = std::int64_t{1} << 31;

// A member of a part of the draft; `part` takes the draft, const or not.
template <class Part, class Owner, class T>
FieldOf<ModelDraft> in(Part part, std::string key, T Owner::*member, Codec<T> codec,
                       std::string sentence) {
  return {std::move(key), codec.expects, std::move(sentence),
          [=, read = codec.read](const Json& json, const ReadContext& context, ModelDraft& draft) {
            return read(json, context, part(draft).*member);
          },
          [=, write = codec.write](const ModelDraft& draft) { return write(part(draft).*member); }};
}

constexpr auto base = [](auto& draft) -> auto& { return draft.config; };
constexpr auto mla = [](auto& draft) -> auto& { return *draft.config.mla; };
constexpr auto moe = [](auto& draft) -> auto& { return *draft.config.moe; };

// A key with one value that can be computed; anything else is refused by name.
FieldOf<ModelDraft> only(std::string key, Json supported, std::string sentence) {
  const std::string expects = "only " + supported.dump() + " is supported";
  return {std::move(key), expects, std::move(sentence),
          [=](const Json& json, const ReadContext&, ModelDraft&) {
            // null is what transformers writes for "not used".
            return json == supported || json.is_null() ? "" : expects;
          },
          [supported](const ModelDraft&) { return supported; }};
}

// Token ids: an integer, a list of them, or null.
FieldOf<ModelDraft> token_ids(std::string key, std::vector<std::int64_t> ModelConfig::*member,
                              std::string sentence) {
  const std::string expects = "a token id, a list of them or null";
  const Codec<std::int64_t> id = integer(0, kMaxVocabulary);
  return {std::move(key), expects, std::move(sentence),
          [=](const Json& json, const ReadContext& context, ModelDraft& draft) {
            const Json list = json.is_array()  ? json
                              : json.is_null() ? Json::array()
                                               : Json::array({json});
            std::vector<std::int64_t> read(list.size());
            for (std::size_t i = 0; i < list.size(); ++i) {
              if (!id.read(list[i], context, read[i]).empty()) return expects;
            }
            draft.config.*member = std::move(read);
            return std::string();
          },
          [member](const ModelDraft& draft) -> Json {
            const auto& ids = draft.config.*member;
            if (ids.empty()) return nullptr;
            return ids.size() == 1 ? Json(ids.front()) : Json(ids);
          }};
}

using Defaults = std::array<std::string_view, kFamilies>;
constexpr Defaults all(std::string_view value) { return {value, value, value, value, value}; }
// llama and qwen, then the two DeepSeek families
constexpr Defaults deepseek(std::string_view v2, std::string_view v3) {
  return {"", "", "", v2, v3};
}

std::vector<ModelField> size_fields() {
  const Json null = nullptr;
  return {
      {in(base, "vocab_size", &ModelConfig::vocab_size, integer(1, kMaxVocabulary),
          "Rows of the embedding and of the output head."),
       {"32000", "151936", "151936", "102400", "129280"}},
      {in(base, "hidden_size", &ModelConfig::hidden_size, integer(1, kMaxHidden),
          "Width of the residual stream."),
       {"4096", "4096", "4096", "4096", "7168"}},
      {in(base, "intermediate_size", &ModelConfig::intermediate_size, integer(1, kMaxIntermediate),
          "Width of the dense feed-forward."),
       {"11008", "22016", "22016", "11008", "18432"}},
      {in(base, "num_hidden_layers", &ModelConfig::num_hidden_layers, integer(1, kMaxLayers),
          "Decoder blocks, without the MTP modules."),
       {"32", "32", "32", "32", "61"}},
      {in(base, "num_attention_heads", &ModelConfig::num_attention_heads, integer(1, kMaxHeads),
          "Query heads."),
       {"32", "32", "32", "32", "128"}},
      {field("num_key_value_heads", &ModelDraft::num_key_value_heads,
             optional_of(integer(1, kMaxHeads), null),
             "Key and value heads, each shared by a group of query heads; null: as many as query "
             "heads. With latent attention it is always that."),
       {"null", "32", "32", "null", "null"}},
      {field("head_dim", &ModelDraft::head_dim, optional_of(integer(2, kMaxHeadDim), null),
             "Width of a head; null: hidden_size / num_attention_heads."),
       {"null", "null", "128", "", ""}},
      {in(base, "max_position_embeddings", &ModelConfig::max_position_embeddings,
          integer(1, kMaxPositions), "Longest sequence."),
       {"2048", "32768", "32768", "2048", "4096"}},
      {in(base, "rms_norm_eps", &ModelConfig::rms_norm_eps, number({0, 1, true}),
          "Added to the mean square in RMSNorm."),
       all("1e-6")},
      {in(base, "initializer_range", &ModelConfig::initializer_range, number(range(0, 1)),
          "Standard deviation of fresh weights."),
       all("0.02")},
      {in(base, "tie_word_embeddings", &ModelConfig::tie_word_embeddings, flag(),
          "One matrix serves as embedding and head."),
       all("false")},
      {field("attention_bias", &ModelDraft::attention_bias, flag(),
             "Biases on q, k, v and o_proj (qwen2 always has those of q, k and v); with latent "
             "attention on q_a_proj, kv_a_proj_with_mqa and o_proj."),
       {"false", "", "false", "false", "false"}},
      {in(base, "mlp_bias", &ModelConfig::mlp_bias, flag(),
          "Biases in the dense feed-forward and the shared experts."),
       {"false", "", "", "false", ""}},
      {in(base, "bos_token_id", &ModelConfig::bos_token_id,
          optional_of(integer(0, kMaxVocabulary), null), "Token that begins a document."),
       {"1", "null", "null", "1", "0"}},
      {token_ids("eos_token_id", &ModelConfig::eos_token_ids, "Token or tokens that end one."),
       {"2", "null", "null", "2", "1"}},
      {in(base, "pad_token_id", &ModelConfig::pad_token_id,
          optional_of(integer(-1, kMaxVocabulary), null), "Token that fills up."),
       all("null")},
  };
}

std::vector<ModelField> latent_attention_fields() {
  return {
      {in(mla, "q_lora_rank", &MlaConfig::q_lora_rank,
          optional_of(integer(1, kMaxRank), Json(nullptr)),
          "Width of the query latent; null: queries are projected directly."),
       deepseek("1536", "1536")},
      {in(mla, "kv_lora_rank", &MlaConfig::kv_lora_rank, integer(1, kMaxRank),
          "Width of the key-value latent."),
       deepseek("512", "512")},
      {in(mla, "qk_nope_head_dim", &MlaConfig::qk_nope_head_dim, integer(1, kMaxHeadDim),
          "Part of a query and key head without position."),
       deepseek("128", "128")},
      {in(mla, "qk_rope_head_dim", &MlaConfig::qk_rope_head_dim, integer(2, kMaxHeadDim),
          "Part of a query and key head that RoPE rotates."),
       deepseek("64", "64")},
      {in(mla, "v_head_dim", &MlaConfig::v_head_dim, integer(1, kMaxHeadDim),
          "Width of a value head."),
       deepseek("128", "128")},
  };
}

std::vector<ModelField> expert_fields() {
  const Json null = nullptr;
  const auto scoring =
      one_of<ScoringFunc>({{"softmax", ScoringFunc::softmax}, {"sigmoid", ScoringFunc::sigmoid}});
  const auto method =
      one_of<TopkMethod>({{"greedy", TopkMethod::greedy},
                          {"group_limited_greedy", TopkMethod::group_limited_greedy},
                          {"noaux_tc", TopkMethod::noaux_tc}});
  return {
      {field("n_routed_experts", &ModelDraft::n_routed_experts,
             optional_of(integer(1, kMaxExperts), null), "Routed experts; null: a dense model."),
       deepseek("64", "256")},
      {field("n_shared_experts", &ModelDraft::n_shared_experts,
             optional_of(integer(0, kMaxExperts), null), "Experts every token passes through."),
       deepseek("2", "1")},
      {field("num_experts_per_tok", &ModelDraft::num_experts_per_tok,
             optional_of(integer(1, kMaxExperts), null), "Routed experts of one token (top-k)."),
       deepseek("null", "8")},
      {in(moe, "moe_intermediate_size", &MoeConfig::moe_intermediate_size,
          integer(1, kMaxExpertWidth), "Width of one expert."),
       deepseek("1407", "2048")},
      {in(moe, "first_k_dense_replace", &MoeConfig::first_k_dense_replace, integer(0, kMaxLayers),
          "The first layers, this many, are dense."),
       deepseek("0", "3")},
      {field("n_group", &ModelDraft::n_group, optional_of(integer(1, kMaxExperts), null),
             "Groups the experts are split into."),
       deepseek("null", "8")},
      {field("topk_group", &ModelDraft::topk_group, optional_of(integer(1, kMaxExperts), null),
             "Groups a token may choose experts from."),
       deepseek("null", "4")},
      {in(moe, "scoring_func", &MoeConfig::scoring_func, scoring,
          "Score of an expert: \"softmax\" in deepseek_v2, \"sigmoid\" in deepseek_v3."),
       deepseek("\"softmax\"", "\"sigmoid\"")},
      {in(moe, "topk_method", &MoeConfig::topk_method, method,
          "How experts are chosen: greedy ones in deepseek_v2, \"noaux_tc\" (with the selection "
          "bias) in deepseek_v3."),
       deepseek("\"greedy\"", "\"noaux_tc\"")},
      {in(moe, "norm_topk_prob", &MoeConfig::norm_topk_prob, flag(),
          "The weights of the chosen experts are divided by their sum."),
       deepseek("false", "true")},
      {in(moe, "routed_scaling_factor", &MoeConfig::routed_scaling_factor, number(above(0)),
          "Factor on the weights of the chosen experts."),
       deepseek("1.0", "2.5")},
      {in(moe, "aux_loss_alpha", &MoeConfig::aux_loss_alpha, number(range(0, kInfinity)),
          "Kept for export; the run config's \"loss\" rules training."),
       deepseek("0.001", "0.001")},
      {in(moe, "seq_aux", &MoeConfig::seq_aux, flag(),
          "Kept for export; the run config's \"loss\" rules training."),
       deepseek("true", "true")},
      {in(base, "num_nextn_predict_layers", &ModelConfig::num_nextn_predict_layers, integer(0, 16),
          "Modules that predict further tokens (MTP); also called num_mtp_layers."),
       deepseek("", "1")},
  };
}

// Fields of which one value is supported. They come last: what they guard was read before.
std::vector<ModelField> guarded_fields() {
  return {
      {only("hidden_act", "silu", "Activation of the feed-forward."), all("\"silu\"")},
      {only("attention_dropout", 0.0, "Dropout of attention weights."), all("0.0")},
      {only("use_sliding_window", false, "Attention to a window only."),
       {"", "false", "false", "", ""}},
      {only("moe_layer_freq", 1, "Every layer from first_k_dense_replace on has experts."),
       deepseek("1", "1")},
  };
}

}  // namespace

const std::vector<ModelField>& model_fields() {
  static const std::vector<ModelField> fields = [] {
    std::vector<ModelField> joined = size_fields();
    for (auto part : {latent_attention_fields(), expert_fields(), guarded_fields()}) {
      for (ModelField& each : part) joined.push_back(std::move(each));
    }
    return joined;
  }();
  return fields;
}

}  // namespace ingot

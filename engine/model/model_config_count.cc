// Sizes of a model by arithmetic alone: spec/deepseek.md 1.3, 2.1, 4.1, 5.3 list the tensors, 8.2
// and 8.4 the definitions and the numbers the test holds them to.
#include "engine/model/model_config.h"

namespace ingot {
namespace {

using Count = std::int64_t;

Count latent_attention(const ModelConfig& model) {
  const MlaConfig& mla = *model.mla;
  const Count d = model.hidden_size, heads = model.num_attention_heads, rank = mla.kv_lora_rank;
  const Count query_width = heads * mla.qk_head_dim();
  const Count query = mla.q_lora_rank ? *mla.q_lora_rank * (d + 1 + query_width) : d * query_width;
  const Count key_value = d * (rank + mla.qk_rope_head_dim) + rank +
                          rank * heads * (mla.qk_nope_head_dim + mla.v_head_dim);
  Count biases = model.o_bias ? d : 0;
  if (model.qkv_bias) biases += mla.q_lora_rank.value_or(0) + rank + mla.qk_rope_head_dim;
  return query + key_value + heads * mla.v_head_dim * d + biases;
}

Count grouped_attention(const ModelConfig& model) {
  const Count d = model.hidden_size;
  const Count query_width = model.num_attention_heads * model.head_dim;
  const Count key_value_width = 2 * model.num_key_value_heads * model.head_dim;
  Count count = d * (query_width + key_value_width) + query_width * d;
  if (model.qkv_bias) count += query_width + key_value_width;
  if (model.o_bias) count += d;
  if (model.qk_norm) count += 2 * model.head_dim;
  return count;
}

Count feed_forward(const ModelConfig& model, Count width) {
  const Count biases = model.mlp_bias ? 2 * width + model.hidden_size : 0;
  return 3 * model.hidden_size * width + biases;
}

// Feed-forward of a MoE layer when `experts` of the routed ones are counted.
Count expert_layer(const ModelConfig& model, Count experts) {
  const MoeConfig& moe = *model.moe;
  const Count router = moe.n_routed_experts * model.hidden_size +
                       (moe.has_selection_bias() ? moe.n_routed_experts : 0);
  const Count expert = 3 * model.hidden_size * moe.moe_intermediate_size;  // never has biases
  const Count shared = moe.n_shared_experts == 0
                           ? 0
                           : feed_forward(model, moe.moe_intermediate_size * moe.n_shared_experts);
  return router + expert * experts + shared;
}

}  // namespace

ParameterCount count_parameters(const ModelConfig& model) {
  const Count d = model.hidden_size;
  const Count block = 2 * d + (model.mla ? latent_attention(model) : grouped_attention(model));
  ParameterCount count;
  for (Count layer = 0; layer < model.num_hidden_layers; ++layer) {
    if (model.is_moe_layer(layer)) {
      count.total += block + expert_layer(model, model.moe->n_routed_experts);
      count.active += block + expert_layer(model, model.moe->num_experts_per_tok);
      if (model.moe->has_selection_bias()) count.selection_bias += model.moe->n_routed_experts;
    } else {
      count.total += block + feed_forward(model, model.intermediate_size);
      count.active += block + feed_forward(model, model.intermediate_size);
    }
  }
  const Count vocabulary = model.vocab_size * d;
  const Count others = (model.tie_word_embeddings ? vocabulary : 2 * vocabulary) + d;
  count.total += others;
  count.active += others;
  count.active_without_embedding = count.active - (model.tie_word_embeddings ? 0 : vocabulary);
  if (model.moe) {
    const Count module = block + 2 * d * d + 3 * d;  // eh_proj; enorm, hnorm, shared_head.norm
    const Count modules = model.num_nextn_predict_layers;
    count.mtp = modules * (module + expert_layer(model, model.moe->n_routed_experts));
    count.active_mtp = modules * (module + expert_layer(model, model.moe->num_experts_per_tok));
  }
  return count;
}

double training_flops_per_token(const ModelConfig& model, std::int64_t sequence_length,
                                bool with_mtp, bool causal) {
  const ParameterCount count = count_parameters(model);
  double weights = static_cast<double>(count.active_without_embedding);
  double layers = static_cast<double>(model.num_hidden_layers);
  if (with_mtp) {
    const auto modules = static_cast<double>(model.num_nextn_predict_layers);
    const double head =
        static_cast<double>(model.vocab_size) * static_cast<double>(model.hidden_size);
    weights += static_cast<double>(count.active_mtp) + modules * head;
    layers += modules;
  }
  const auto widths = static_cast<double>(model.query_key_dim() + model.value_dim());
  const double attention = 3.0 * layers * static_cast<double>(model.num_attention_heads) * widths *
                           static_cast<double>(sequence_length);
  return 6.0 * weights + (causal ? attention : 2 * attention);
}

}  // namespace ingot

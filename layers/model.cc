#include "layers/model.h"

#include <cstring>
#include <string>

#include "layers/attention.h"
#include "layers/feed_forward.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/embedding/embedding.h"
#include "ops/linear/linear.h"
#include "ops/rms_norm/rms_norm.h"

namespace ingot {
namespace {

std::string layer_name(std::int64_t layer) { return "layers." + std::to_string(layer); }

Tensor norm(Builder& b, Tensor x, std::string_view name, Tensor into = {}) {
  return rms_norm(b.program, x, b.gain(name, x.columns),
                  {.epsilon = b.config.rms_norm_eps, .into = into});
}

// h = h + attention(norm(h)); h = h + feed_forward(norm(h)), within the scope of the layer.
Tensor decoder_block(Builder& b, Tensor hidden, Tensor ids, std::int64_t layer,
                     std::vector<RouterOutputs>& routers) {
  const Tensor x = norm(b, hidden, "input_layernorm");
  hidden = b.config.mla ? multi_head_latent_attention(b, x, hidden)
                        : grouped_query_attention(b, x, hidden);
  b.program.info(hidden).saving = Saving::exact;
  const Tensor z = norm(b, hidden, "post_attention_layernorm");
  const Scope scope(b.program, "mlp");
  hidden = b.config.is_moe_layer(layer)
               ? mixture_of_experts(b, z, hidden, ids, routers.emplace_back())
               : feed_forward(b, z, hidden, b.config.intermediate_size);
  // Between layers the stream is kept whatever memory costs; within them it may be computed again.
  b.program.info(hidden).saving = Saving::checkpoint;
  return hidden;
}

// One module of depth k: from the hidden states of depth k - 1 and the token k places on, the
// hidden states that predict the token k + 1 places on. Concatenation in the order of the released
// weights: embedding first, hidden second.
Tensor mtp_module(Builder& b, Tensor hidden, Tensor tokens, std::int64_t depth,
                  std::vector<RouterOutputs>& routers) {
  Program& program = b.program;
  const std::int64_t layer = b.config.num_hidden_layers + depth - 1;
  const std::int64_t size = b.config.hidden_size;
  const Scope scope(program, layer_name(layer), static_cast<int>(layer));
  const Tensor embedded =
      embedding(program, tokens, b.embedding_table("embed_tokens"), b.options.dtype);
  const Tensor both = program.activation("both", {b.tokens(), 2 * size}, b.options.dtype);
  norm(b, embedded, "enorm", both.slice(0, size));
  norm(b, hidden, "hnorm", both.slice(size, size));
  const Tensor joined = linear(program, both, b.matrix({{"eh_proj", size}}, 2 * size));
  const Tensor out = decoder_block(b, joined, tokens, layer, routers);
  return norm(b, out, "shared_head.norm");
}

Tensor head_table(Builder& b) {
  return b.embedding_table(b.config.tie_word_embeddings ? "embed_tokens" : "lm_head");
}

}  // namespace

std::string mtp_factor_slot(std::int64_t depth) { return "mtp factor " + std::to_string(depth); }

ModelInputs model_inputs(Builder& b, bool with_mtp) {
  const Shape shape{b.options.batch, b.options.sequence};
  const auto input = [&](const std::string& name) {
    return b.state(name, shape, DType::i32, Role::input, Lifetime::parts);
  };
  ModelInputs inputs{.tokens = input("tokens"), .targets = input("targets")};
  const std::int64_t modules = with_mtp ? b.config.num_nextn_predict_layers : 0;
  for (std::int64_t depth = 1; depth <= modules; ++depth) {
    inputs.mtp_tokens.push_back(input("mtp_tokens." + std::to_string(depth)));
    inputs.mtp_targets.push_back(input("mtp_targets." + std::to_string(depth)));
  }
  return inputs;
}

Tensor model_hidden(Builder& b, Tensor tokens, std::vector<RouterOutputs>& routers,
                    std::vector<Tensor>* hidden) {
  Program& program = b.program;
  Tensor stream = embedding(program, tokens, b.embedding_table("embed_tokens"), b.options.dtype);
  program.info(stream).saving = Saving::checkpoint;
  for (std::int64_t layer = 0; layer < b.config.num_hidden_layers; ++layer) {
    if (hidden != nullptr) hidden->push_back(stream);
    const Scope scope(program, layer_name(layer), static_cast<int>(layer));
    stream = decoder_block(b, stream, tokens, layer, routers);
  }
  const Tensor normed = norm(b, stream, "norm");
  if (hidden != nullptr) hidden->push_back(normed);
  return normed;
}

ModelLosses model_losses(Builder& b, const ModelInputs& inputs) {
  ModelLosses losses;
  const Tensor hidden = model_hidden(b, inputs.tokens, losses.routers, &losses.hidden);
  std::vector<Tensor> deeper;
  for (std::size_t i = 0; i < inputs.mtp_tokens.size(); ++i) {
    deeper.push_back(mtp_module(b, i == 0 ? hidden : deeper.back(), inputs.mtp_tokens[i],
                                static_cast<std::int64_t>(i) + 1, losses.routers));
  }
  // The heads come last: in training they are where forward turns into backward.
  const Scope scope(b.program, "lm_head");
  losses.loss = cross_entropy(b.program, hidden, head_table(b), inputs.targets);
  for (std::size_t i = 0; i < deeper.size(); ++i) {
    const std::string factor = mtp_factor_slot(static_cast<std::int64_t>(i) + 1);
    losses.mtp.push_back(cross_entropy(b.program, deeper[i], head_table(b), inputs.mtp_targets[i],
                                       {.factor = factor}));
  }
  return losses;
}

Tensor model_logits(Builder& b, Tensor hidden) {
  const Scope scope(b.program, "lm_head");
  return linear(b.program, hidden, head_table(b), {.output_dtype = DType::f32});
}

}  // namespace ingot

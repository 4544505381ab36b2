#include "layers/attention.h"
#include "ops/attention/attention.h"
#include "ops/latent_attention/latent_attention.h"
#include "ops/linear/linear.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rope/rope.h"

namespace ingot {
namespace {

// Transformers gives the norms of the latents their own epsilon, whatever rms_norm_eps says.
constexpr double kLatentEpsilon = 1e-6;

}  // namespace

Tensor multi_head_latent_attention(Builder& b, Tensor x, Tensor residual) {
  Program& program = b.program;
  const MlaConfig& mla = *b.config.mla;
  const std::int64_t heads = b.config.num_attention_heads;
  const std::int64_t nope = mla.qk_nope_head_dim, rotary = mla.qk_rope_head_dim;
  const std::int64_t value = mla.v_head_dim, rank = mla.kv_lora_rank;
  const std::int64_t query_width = heads * (nope + rotary);
  const Scope scope(program, "self_attn");

  // Everything that is projected from x, in one product: the query (or its latent c_q) and
  // [c_kv | k_rope], eq. 9, 12 and 15. Only a q_proj beside a biased latent stands alone: it has no
  // bias.
  const std::int64_t first = mla.q_lora_rank.value_or(query_width);
  const MatrixRows query_rows{mla.q_lora_rank ? "q_a_proj" : "q_proj", first};
  const MatrixRows latent_rows{"kv_a_proj_with_mqa", rank + rotary};
  const auto project = [&](const std::vector<MatrixRows>& rows, bool biased) {
    return linear(program, x, b.matrix(rows, x.columns),
                  {.bias = biased ? b.bias(rows) : Tensor{}});
  };
  Tensor q, latent;
  if (b.config.qkv_bias && !mla.q_lora_rank) {
    q = project({query_rows}, false);
    latent = project({latent_rows}, true);
  } else {
    const Tensor down = project({query_rows, latent_rows}, b.config.qkv_bias);
    q = down.slice(0, first);
    latent = down.slice(first, rank + rotary);
  }
  const Tensor k_rope = latent.slice(rank, rotary);
  if (mla.q_lora_rank) {
    const Tensor c_q =
        rms_norm(program, q, b.gain("q_a_layernorm", first), {.epsilon = kLatentEpsilon});
    q = linear(program, c_q, b.matrix({{"q_b_proj", query_width}}, first));
  }
  const Tensor c_kv = rms_norm(program, latent.slice(0, rank), b.gain("kv_a_layernorm", rank),
                               {.epsilon = kLatentEpsilon});

  // Each query head is [nope | rotary]; the rotary key is one head that all share (eq. 14-15).
  rope(program, q, b.rope_table, b.positions,
       {.count = heads, .stride = nope + rotary, .offset = nope, .half = rotary / 2},
       b.config.rope.interleaved);
  rope(program, k_rope, b.rope_table, b.positions,
       {.count = 1, .stride = rotary, .offset = 0, .half = rotary / 2}, b.config.rope.interleaved);

  const Tensor up = b.matrix({{"kv_b_proj", heads * (nope + value)}}, rank);
  const AttentionOptions options{.batch = b.options.batch,
                                 .sequence = b.options.sequence,
                                 .query_heads = heads,
                                 .key_value_heads = heads,
                                 .scale = b.softmax_scale};
  Tensor context;
  if (b.options.capacity > 0) {
    // Appendix C: with W_UK absorbed into the query, attention runs on the cached latents.
    const Tensor cache =
        b.state("latent_cache", {b.options.cached_sequences, b.options.capacity, rank + rotary},
                b.options.dtype, Role::activation, Lifetime::parts);
    context =
        latent_attention(program, q, c_kv, k_rope, up, cache, b.positions,
                         {.attention = options, .nope = nope, .rotary = rotary, .value = value});
  } else {
    // Each head of kv is [k_nope | v] (eq. 10-11).
    const Tensor kv = linear(program, c_kv, up);
    context = attention(
        program, {.tensor = q, .offset = 0, .stride = nope + rotary, .size = nope + rotary},
        {.tensor = kv, .offset = 0, .stride = nope + value, .size = nope},
        {.tensor = kv, .offset = nope, .stride = nope + value, .size = value}, k_rope, options);
  }
  const std::vector<MatrixRows> out = {{"o_proj", residual.columns}};
  return linear(program, context, b.matrix(out, heads * value),
                {.bias = b.config.o_bias ? b.bias(out) : Tensor{}, .residual = residual});
}

}  // namespace ingot

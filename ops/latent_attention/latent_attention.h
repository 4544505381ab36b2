// Multi-head latent attention of new tokens over a cache of latents, for generation (DeepSeek-V2,
// arXiv 2405.04434, section 2.1 and appendix C). The key and value projections are absorbed into
// query and output, so that all heads read the same rank + rotary numbers of each cached token.
// No gradient.
#pragma once

#include "engine/program/program.h"
#include "ops/attention/attention.h"

namespace ingot {

struct LatentAttentionOptions {
  // sequence: new tokens of each sequence; key_value_heads: not read, all heads have their own.
  AttentionOptions attention;
  std::int64_t nope = 0, rotary = 0, value = 0;  // sizes of a head's parts
};

// With h heads, r = rank, tokens = batch * sequence:
//   query [tokens, h * (nope + rotary)], rotary part rotated
//   latent [tokens, r], normed;  key_rope [tokens, rotary], rotated
//   kv_b [h * (nope + value), r]: of each head W_UK [nope, r], then W_UV [value, r]
//   cache [batch or more, capacity, r + rotary]: gets (latent, key_rope) at the new tokens'
//   positions positions [tokens] i32 in [0, capacity), different within a sequence: a caller must
//   see to it
// All float operands have one dtype. A new token attends to the cache rows 0 .. its position:
//   score = (W_UK^T q_nope) latent + q_rope key_rope,  u = sum of softmax(scale score) latent
// Returns o [tokens, h * value] with W_UV u of each head. The same as attention() of the heads
// kv_b makes of the latents, but for rounding.
Tensor latent_attention(Program& program, Tensor query, Tensor latent, Tensor key_rope, Tensor kv_b,
                        Tensor cache, Tensor positions, const LatentAttentionOptions& options);

// inputs query, latent, key_rope, kv_b, positions, cache; outputs o, cache. Attributes batch,
// sequence, heads, nope, rotary, value, rank, capacity, scale.
extern const OpKind kLatentAttention;

}  // namespace ingot

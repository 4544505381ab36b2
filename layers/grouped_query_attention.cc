#include "layers/attention.h"
#include "ops/attention/attention.h"
#include "ops/cached_attention/cached_attention.h"
#include "ops/linear/linear.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rope/rope.h"

namespace ingot {

Tensor grouped_query_attention(Builder& b, Tensor x, Tensor residual) {
  Program& program = b.program;
  const ModelConfig& config = b.config;
  const std::int64_t heads = config.num_attention_heads, size = config.head_dim;
  const std::int64_t kv_heads = config.num_key_value_heads;
  const Scope scope(program, "self_attn");

  const std::vector<MatrixRows> rows = {
      {"q_proj", heads * size}, {"k_proj", kv_heads * size}, {"v_proj", kv_heads * size}};
  const Tensor qkv = linear(program, x, b.matrix(rows, x.columns),
                            {.bias = config.qkv_bias ? b.bias(rows) : Tensor{}});
  Tensor q = qkv.slice(0, heads * size);
  Tensor k = qkv.slice(heads * size, kv_heads * size);
  const Tensor v = qkv.slice((heads + kv_heads) * size, kv_heads * size);
  if (config.qk_norm) {  // Qwen3: over each head, before the rotation
    q = rms_norm(program, q, b.gain("q_norm", size),
                 {.epsilon = config.rms_norm_eps, .groups = heads});
    k = rms_norm(program, k, b.gain("k_norm", size),
                 {.epsilon = config.rms_norm_eps, .groups = kv_heads});
  }
  const auto rotate = [&](Tensor t, std::int64_t count) {
    rope(program, t, b.rope_table, b.positions,
         {.count = count, .stride = size, .offset = 0, .half = size / 2}, config.rope.interleaved);
  };
  rotate(q, heads);
  rotate(k, kv_heads);

  const AttentionHeads queries{.tensor = q, .offset = 0, .stride = size, .size = size};
  const AttentionHeads keys{.tensor = k, .offset = 0, .stride = size, .size = size};
  const AttentionHeads values{.tensor = v, .offset = 0, .stride = size, .size = size};
  const AttentionOptions options{.batch = b.options.batch,
                                 .sequence = b.options.sequence,
                                 .query_heads = heads,
                                 .key_value_heads = kv_heads,
                                 .scale = b.softmax_scale};
  Tensor context;
  if (b.options.capacity > 0) {
    const Shape cache{b.options.cached_sequences, kv_heads, b.options.capacity, size};
    const DType dtype = b.options.dtype;
    const Tensor key_cache = b.state("key_cache", cache, dtype, Role::activation, Lifetime::parts);
    const Tensor value_cache =
        b.state("value_cache", cache, dtype, Role::activation, Lifetime::parts);
    context = cached_attention(program, queries, keys, values, key_cache, value_cache, b.positions,
                               options);
  } else {
    context = attention(program, queries, keys, values, {}, options);
  }
  const std::vector<MatrixRows> out = {{"o_proj", residual.columns}};
  return linear(program, context, b.matrix(out, heads * size),
                {.bias = config.o_bias ? b.bias(out) : Tensor{}, .residual = residual});
}

}  // namespace ingot

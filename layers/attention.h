// The two attentions of the family. Both take the normed input x [tokens, hidden_size], add their
// output to the residual stream, and return the new stream. With BuildOptions::capacity they read
// and extend the key/value cache instead of attending within the batch.
#pragma once

#include "layers/builder.h"

namespace ingot {

// Grouped-query attention of Llama, Qwen2 and Qwen3 (spec: dense decoder block).
Tensor grouped_query_attention(Builder& b, Tensor x, Tensor residual);

// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).
Tensor multi_head_latent_attention(Builder& b, Tensor x, Tensor residual);

}  // namespace ingot

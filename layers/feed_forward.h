// SwiGLU feed-forward: down( silu(gate(x)) * up(x) ), added to the residual stream.
#pragma once

#include "layers/builder.h"

namespace ingot {

// Weights gate_proj, up_proj, down_proj of the current scope (with biases when the config says
// mlp_bias); inner width intermediate_size.
Tensor feed_forward(Builder& b, Tensor x, Tensor residual, std::int64_t intermediate_size);

}  // namespace ingot

#include "layers/feed_forward.h"

#include "ops/linear/linear.h"
#include "ops/swiglu/swiglu.h"

namespace ingot {

Tensor feed_forward(Builder& b, Tensor x, Tensor residual, std::int64_t intermediate_size) {
  Program& program = b.program;
  const bool biased = b.config.mlp_bias;
  const std::vector<MatrixRows> in = {{"gate_proj", intermediate_size},
                                      {"up_proj", intermediate_size}};
  const std::vector<MatrixRows> out = {{"down_proj", residual.columns}};
  const Tensor gate_up =
      linear(program, x, b.matrix(in, x.columns), {.bias = biased ? b.bias(in) : Tensor{}});
  const Tensor hidden = swiglu(program, gate_up);
  return linear(program, hidden, b.matrix(out, intermediate_size),
                {.bias = biased ? b.bias(out) : Tensor{}, .residual = residual});
}

}  // namespace ingot

// DeepSeekMoE (arXiv 2401.06066; gates of V2 and V3, spec section 4): shared experts, and the top-k
// of many narrow routed ones.
#pragma once

#include "layers/builder.h"

namespace ingot {

// What the trainer follows of one router.
struct RouterOutputs {
  int layer = -1;
  Tensor balance_loss;    // [1] f32, un-weighted
  Tensor load;            // [experts]: tokens routed to each since the last update
  Tensor selection_bias;  // [experts] f32; none for softmax gates
};

// Adds the experts' output to the residual stream. ids [tokens] i32 tells padding (negative), which
// is not counted in loads and balance.
Tensor mixture_of_experts(Builder& b, Tensor x, Tensor residual, Tensor ids, RouterOutputs& router);

}  // namespace ingot

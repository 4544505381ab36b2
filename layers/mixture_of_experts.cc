#include "layers/mixture_of_experts.h"

#include "layers/feed_forward.h"
#include "ops/combine/combine.h"
#include "ops/dispatch/dispatch.h"
#include "ops/grouped_linear/grouped_linear.h"
#include "ops/linear/linear.h"
#include "ops/router/router.h"
#include "ops/swiglu/swiglu.h"

namespace ingot {
namespace {

RouterOptions router_options(const Builder& b) {
  const MoeConfig& moe = *b.config.moe;
  const bool sigmoid = moe.scoring_func == ScoringFunc::sigmoid;
  return {.experts = moe.n_routed_experts,
          .experts_per_token = moe.num_experts_per_tok,
          .groups = moe.n_group,
          .kept_groups = moe.topk_group,
          .score = sigmoid ? GateScore::sigmoid : GateScore::softmax,
          .group_score = moe.has_selection_bias() ? GroupScore::sum_of_top_two : GroupScore::max,
          .normalize = moe.norm_topk_prob,
          .scaling = moe.routed_scaling_factor,
          .balance = b.options.balance,
          .batch = b.options.batch,
          .sequence = b.options.sequence};
}

}  // namespace

Tensor mixture_of_experts(Builder& b, Tensor x, Tensor residual, Tensor ids,
                          RouterOutputs& router) {
  Program& program = b.program;
  const MoeConfig& moe = *b.config.moe;
  const std::int64_t experts = moe.n_routed_experts, width = moe.moe_intermediate_size;
  const std::int64_t hidden_size = x.columns;

  // The gate, in fp32 whatever the activations are.
  const Tensor logits =
      linear(program, x, b.router(experts, hidden_size), {.output_dtype = DType::f32});
  router.layer = program.layer();
  if (moe.has_selection_bias()) router.selection_bias = b.selection_bias(experts);
  router.load =
      b.state("gate.load", {experts}, DType::i32, Role::optimizer_state, Lifetime::persistent);
  const Routing routing =
      route(program, logits, router.selection_bias, ids, router.load, router_options(b));
  router.balance_loss = routing.balance_loss;

  // Tokens sorted by expert. The gate's weight is multiplied in before the down-projection, so that
  // the experts' outputs need not be kept for its gradient.
  const Dispatch sorted = dispatch(program, routing);
  const Tensor rows = permute(program, x, sorted);
  const Tensor weights = permute_weights(program, routing.weights, sorted);
  const Tensor gate_up = grouped_linear(
      program, rows, b.experts({{"gate_proj", width}, {"up_proj", width}}, experts, hidden_size),
      sorted.offsets);
  const Tensor hidden = swiglu(program, gate_up, weights, sorted.row_count());
  const Tensor routed = grouped_linear(
      program, hidden, b.experts({{"down_proj", hidden_size}}, experts, width), sorted.offsets);

  if (moe.n_shared_experts > 0) {
    const Scope scope(program, "shared_experts");
    residual = feed_forward(b, x, residual, moe.n_shared_experts * width);
  }
  return combine(program, routed, sorted, residual);
}

}  // namespace ingot

// The gate of a mixture of experts: scores, group-limited selection, weights, load counts and the
// balance loss (DeepSeekMoE, arXiv 2401.06066; V2, 2405.04434 section 2.2; V3, 2412.19437 section
// 2.1.2). All in fp32. Ties go to the lower index.
#pragma once

#include "engine/program/program.h"

namespace ingot {

enum class GateScore { softmax, sigmoid };
enum class GroupScore { max, sum_of_top_two };     // of the scores in a group
enum class BalanceLoss { none, sequence, batch };  // f_i and P_i over each sequence, or all of them

struct RouterOptions {
  std::int64_t experts = 1, experts_per_token = 1;
  // Experts form `groups` equal contiguous groups; only the kept_groups best may be selected from.
  std::int64_t groups = 1, kept_groups = 1;
  GateScore score = GateScore::softmax;
  GroupScore group_score = GroupScore::max;
  bool normalize = false;  // weights of a token sum to `scaling`
  double scaling = 1;
  BalanceLoss balance = BalanceLoss::none;
  std::int64_t batch = 1, sequence = 1;  // tokens = batch * sequence
};

struct Routing {
  Tensor experts;       // [tokens, K] i32, best first: a permutation's worth of distinct experts
  Tensor weights;       // [tokens, K] f32, of the scores without the bias
  Tensor scores;        // [tokens, E] f32: all that backward needs
  Tensor balance_loss;  // [1] f32 output: mean over sequences of sum_i f_i P_i, without weight;
                        // 1 for uniform routing. Null when BalanceLoss::none
};

// logits [tokens, E] f32.
// bias: null, or [E] f32, added to the scores for the selection only.
// ids: null, or [tokens] i32: tokens with an id < 0 are padding. They are routed, but counted in
//   no load and no balance loss.
// load: null, or [E] i32 persistent: tokens that selected each expert are added to it in training
//   (Part::micro_step only); bias_update() resets it.
// Backward: through the weights of the selected experts, and the balance loss, whose weight is
// the step's slot kBalanceWeight * loss_scale / kSequences for each sequence; f_i is constant
// there. A pass that runs the op a second time (recomputation) must set its attribute `count` to 0.
Routing route(Program& program, Tensor logits, Tensor bias, Tensor ids, Tensor load,
              const RouterOptions& options);

// The selection bias' update without auxiliary loss, once per optimizer step:
//   bias_i += (slot kBiasRate) * sign(mean(load) - load_i); load = 0.
// bias: null, or as in route(). skip: null, or [1] f32, nonzero when the step was skipped: then
// bias stays, load is reset nevertheless. Returns [1] f32 output: max(load) / mean(load), 0 when
// nothing was routed.
Tensor bias_update(Program& program, Tensor bias, Tensor load, Tensor skip);

//   route            inputs logits, bias?, ids?
//                    outputs experts, weights, scores, balance_loss?, balance_slope?, load?
//   route_backward   inputs d_weights?, experts, scores, ids?, balance_slope?   outputs d_logits
//   bias_update      inputs skip?   outputs bias?, load, ratio
// balance_slope [sequences, E] f32 (batch: [1, E]) is f_i / T, the loss' slope in P's summands.
extern const OpKind kRoute, kRouteBackward, kBiasUpdate;

}  // namespace ingot

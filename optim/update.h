// The update program: gradient norm, clipping, AdamW of every weight, the routers' selection bias.
#pragma once

#include <vector>

#include "engine/program/program.h"
#include "ops/state_forms/state_forms.h"

namespace ingot {

struct UpdateOptions {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double weight_decay = 0.1;  // on weights that are `decayed`
  double clip_norm = 1.0;     // 0: no clipping
  // Of tensors with two or more dimensions; the others' are f32.
  StateForm first_moment = StateForm::f32, second_moment = StateForm::f32;
  // Matrices of layers by Muon, whose learning rate is this times the other; 0: all by AdamW.
  double muon_rate = 0;
  // Each weight in the middle of backward, see optim/update_in_backward.h; for one micro-step an
  // update.
  bool in_backward = false;
  // What writes a gradient last leaves sums of its squares; not where gradients are still summed
  // over ranks.
  bool leave_squares = true;
};

// One router's part in the update.
struct RouterUpdate {
  Tensor load;            // [experts] i32, summed over the update's micro-steps; zeroed
  Tensor selection_bias;  // [experts] f32; none, or frozen: the load is only reported and zeroed
};

// Makes the moments of every weight that learns by gradient, begins Part::update and appends its
// ops (or, in backward, appends the weights' updates to the micro-step). What the update decides is
// told in the report: norm, skipped and the largest load of a router. It is skipped when the step's
// loss or norm is not finite or exceeds the step's limits (ops/gradient_norm); in backward it is
// skipped for each weight whose own gradient is not finite, and `skipped` says that there was one.
void append_update(Program& program, const UpdateOptions& options,
                   const std::vector<RouterUpdate>& routers);

}  // namespace ingot

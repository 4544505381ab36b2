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
};

// One router's part in the update.
struct RouterUpdate {
  Tensor load;            // [experts] i32, summed over the update's micro-steps; zeroed
  Tensor selection_bias;  // [experts] f32; none, or frozen: the load is only reported and zeroed
};

struct UpdateOutputs {
  Tensor norm;                      // [1] f32: of all gradients, loss scale divided out, unclipped
  Tensor skipped;                   // [1] f32: 1 when the update was not applied
  std::vector<Tensor> load_ratios;  // [1] f32 for each router: largest load over the mean
};

// Makes the moments of every weight that learns by gradient, begins Part::update and appends its
// ops (or, in backward, appends the weights' updates to the micro-step). The update is skipped when
// the norm is not finite, exceeds StepState::norm_limit, or StepState::skip_update is set; in
// backward it is skipped for each weight whose own gradient is not finite, and `skipped` says that
// there was one.
UpdateOutputs append_update(Program& program, const UpdateOptions& options,
                            const std::vector<RouterUpdate>& routers);

}  // namespace ingot

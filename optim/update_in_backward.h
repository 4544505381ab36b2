// Updates in the middle of backward (LOMO, arXiv 2306.09782): a weight's update comes right behind
// the last op that writes its gradient or uses the weight, and the gradient lives no longer.
#pragma once

#include <functional>
#include <vector>

#include "engine/program/program.h"

namespace ingot {

// Called while the micro-step is the current part, after differentiate(); passes that come later
// may add uses of weights only in front of the backward op of each use (recomputation does so). For
// one micro-step an update. append_update(weight, scale, skipped) appends the update of one weight,
// see ops/weight_norm. Returns the norms of all gradients, for total_norm().
std::vector<Tensor> update_in_backward(
    Program& program, double clip_norm,
    const std::function<void(const Weight&, Tensor scale, Tensor skipped)>& append_update);

}  // namespace ingot

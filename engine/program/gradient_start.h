// What it means that an op writes a weight's gradient before others do.
#pragma once

#include "engine/program/program.h"
#include "engine/program/step_state.h"

namespace ingot {

// Values of the attribute `first` of such an op: overwrite the gradient in the first micro-step of
// an update, or in each (a gradient that does not outlive the micro-step). Absent or 0: add to it.
constexpr double kFirstInUpdate = 1, kFirstInMicroStep = 2;

// Whether such an op overwrites now.
class GradientStart {
 public:
  explicit GradientStart(const Op& op)
      : first_(op.attributes.has("first") ? op.attributes.real("first") : 0) {}
  bool operator()(const Turn& turn) const {
    return first_ == kFirstInMicroStep || (first_ == kFirstInUpdate && turn.first);
  }

 private:
  double first_;
};

}  // namespace ingot

#include "optim/loss_scale.h"

#include <algorithm>

namespace ingot {
namespace {

constexpr double kFirst = 65536, kLeast = 1, kMost = 1 << 24;
constexpr std::int64_t kStepsToDouble = 1000;

}  // namespace

LossScale::LossScale(bool dynamic, double fixed)
    : dynamic_(dynamic), state_{.scale = dynamic ? kFirst : fixed} {}

void LossScale::update(bool overflowed) {
  if (!dynamic_) return;
  if (overflowed) {
    state_ = {.scale = std::max(kLeast, state_.scale / 2)};
  } else if (++state_.good_steps == kStepsToDouble) {
    state_ = {.scale = std::min(kMost, state_.scale * 2)};
  }
}

bool LossScale::at_minimum() const { return !dynamic_ || state_.scale <= kLeast; }

}  // namespace ingot

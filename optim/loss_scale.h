// Loss scaling for fp16: gradients are computed times a factor that keeps small ones above zero.
// A step whose gradients overflow is skipped and halves the factor; a long run of good ones doubles
// it (Micikevicius et al. 2018).
#pragma once

#include <cstdint>

namespace ingot {

class LossScale {
 public:
  struct State {
    double scale = 1;
    std::int64_t good_steps = 0;  // since the factor last changed
  };

  // dynamic = false: always `fixed`.
  explicit LossScale(bool dynamic, double fixed = 1);

  double value() const { return state_.scale; }
  void update(bool overflowed);
  // Whether another overflow can't be answered with a smaller factor.
  bool at_minimum() const;

  State state() const { return state_; }
  void restore(State state) { state_ = state; }

 private:
  bool dynamic_;
  State state_;
};

}  // namespace ingot

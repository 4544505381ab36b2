// Finds where a step went bad: the first op whose output holds a NaN or an infinity.
#pragma once

#include <string>
#include <vector>

#include "engine/execution/executor.h"

namespace ingot {

// Attach to an executor, run a part, read what was found.
class NonfiniteHunt final : public OpObserver {
 public:
  explicit NonfiniteHunt(const Executor& executor) : executor_(executor) {}

  void after(const Op& op) override;
  // "layers.7.mlp.down_proj (linear, backward), tensor '...', element 17: nan", or "" so far.
  const std::string& found() const { return found_; }

 private:
  const Executor& executor_;
  std::string found_;
  std::vector<std::byte> buffer_;
};

}  // namespace ingot

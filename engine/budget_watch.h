// Whether a running trainer must plan its memory anew: SIGUSR1 says that memory.budget in the
// config changed, and the control group's limit may be lowered at any time.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "engine/config.h"

namespace ingot {

class BudgetWatch {
 public:
  // While it lives, SIGUSR1 sets a flag. One at a time. reread: the budget as the config says it
  // now; none: signals change nothing.
  BudgetWatch(const MemoryBudget& budget, std::function<MemoryBudget()> reread);
  ~BudgetWatch();
  BudgetWatch(const BudgetWatch&) = delete;
  BudgetWatch& operator=(const BudgetWatch&) = delete;

  // The budget to plan with from now on, if it changed since the last call. Looks at the system
  // every few seconds only. Throws what reading the config throws.
  std::optional<MemoryBudget> changed();

 private:
  MemoryBudget budget_;
  std::function<MemoryBudget()> reread_;
  std::int64_t limit_;  // of this machine or group, bytes
  std::chrono::steady_clock::time_point next_look_;
};

}  // namespace ingot

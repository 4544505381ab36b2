// Whether a running trainer must plan its memory anew: the user says that memory.budget in the
// config changed, or the control group's limit is lowered, which may happen at any time.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "backends/host/system_memory.h"
#include "engine/config/config.h"

namespace ingot {

struct BudgetChange {
  MemoryBudget budget;  // to plan with from now on
  // The limit that the system enforces fell to this many bytes; none: the user changed his mind.
  std::optional<std::int64_t> lowered_limit;
};

class BudgetWatch {
 public:
  // reread: the budget as the config says it now; none: the user can't change it. system_root: as
  // for read_system_memory().
  BudgetWatch(const MemoryBudget& budget, std::function<MemoryBudget()> reread,
              const std::string& system_root = "");

  // What changed since the last call. asked: the user wants the config read again. Looks at the
  // system once a second at most, and allocates nothing while all is as it was. Throws what
  // reading the config throws.
  std::optional<BudgetChange> changed(bool asked);

 private:
  MemoryBudget budget_;
  std::function<MemoryBudget()> reread_;
  MemoryLimit system_;
  std::int64_t limit_;  // of this machine or group at the last look, bytes
  std::chrono::steady_clock::time_point next_look_;
};

}  // namespace ingot

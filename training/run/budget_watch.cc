#include "training/run/budget_watch.h"

#include <utility>

namespace ingot {
namespace {

constexpr std::chrono::seconds kBetweenLooks{1};

}  // namespace

BudgetWatch::BudgetWatch(const MemoryBudget& budget, std::function<MemoryBudget()> reread,
                         const std::string& system_root)
    : budget_(budget),
      reread_(std::move(reread)),
      system_(system_root),
      limit_(system_.bytes()),
      next_look_(std::chrono::steady_clock::now() + kBetweenLooks) {}

std::optional<BudgetChange> BudgetWatch::changed(bool asked) {
  if (asked && reread_) {
    const MemoryBudget now = reread_();
    if (now != budget_) return BudgetChange{.budget = budget_ = now};
  }
  // A budget in bytes is the user's word, whatever the limit.
  if (budget_.bytes || std::chrono::steady_clock::now() < next_look_) return std::nullopt;
  next_look_ = std::chrono::steady_clock::now() + kBetweenLooks;
  const std::int64_t before = std::exchange(limit_, system_.bytes());
  if (limit_ >= before) return std::nullopt;
  return BudgetChange{.budget = budget_, .lowered_limit = limit_};
}

}  // namespace ingot

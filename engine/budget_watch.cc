#include "engine/budget_watch.h"

#include <csignal>
#include <utility>

#include "memory/system_memory.h"

namespace ingot {
namespace {

constexpr std::chrono::seconds kBetweenLooks{5};

volatile std::sig_atomic_t asked = 0;

void on_signal(int) { asked = 1; }

void install(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
}

}  // namespace

BudgetWatch::BudgetWatch(const MemoryBudget& budget, std::function<MemoryBudget()> reread)
    : budget_(budget),
      reread_(std::move(reread)),
      limit_(read_system_memory().limit()),
      next_look_(std::chrono::steady_clock::now() + kBetweenLooks) {
  asked = 0;
  install(on_signal);
}

// Ignored from here on: a signal that comes late must not end the process while it saves.
BudgetWatch::~BudgetWatch() { install(SIG_IGN); }

std::optional<MemoryBudget> BudgetWatch::changed() {
  if (asked != 0) {
    asked = 0;
    if (reread_) {
      const MemoryBudget now = reread_();
      if (now != budget_) return budget_ = now;
    }
  }
  // A budget in bytes is the user's word, whatever the limit.
  if (budget_.bytes || std::chrono::steady_clock::now() < next_look_) return std::nullopt;
  next_look_ = std::chrono::steady_clock::now() + kBetweenLooks;
  const std::int64_t limit = read_system_memory().limit();
  const bool shrank = limit < limit_;
  limit_ = limit;
  return shrank ? std::optional(budget_) : std::nullopt;
}

}  // namespace ingot

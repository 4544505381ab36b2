#include "planning/budget.h"

#include <algorithm>

#include "backends/host/system_memory.h"
#include "engine/base/align.h"

namespace ingot {
namespace {

constexpr std::int64_t kMiB = 1 << 20, kGiB = 1 << 30;

// Measured: a process has 7 MiB when it starts to plan, 16 to 19 at the peak of a run of a few
// hundred ops, and 2.6 KiB more for each op of a larger one; searching leaves up to 3 MiB behind.
constexpr std::int64_t kProcess = 21 * kMiB, kOp = 3 << 10;
// Of kProcess, what comes after planning: code touched for the first time, the tokenizer, a
// checkpoint's buffer, the loader's window, stacks.
constexpr std::int64_t kRun = 12 * kMiB;
// How much more than the rule a process must hold to be believed, and in which steps.
constexpr std::int64_t kClearlyMore = 10 * kMiB, kStep = 4 * kMiB;

// What MPI takes in each rank: its libraries, its buffers, and those it shares with other ranks.
constexpr std::int64_t kMessages = 16 * kMiB;

bool has_other_ranks(const Program& program) {
  return std::ranges::any_of(program.queues(),
                             [](const QueueInfo& queue) { return queue.kind == QueueKind::group; });
}

}  // namespace

std::int64_t budget_bytes(const MemoryBudget& budget, const std::string& system_root) {
  if (budget.bytes) return *budget.bytes;
  const SystemMemory memory = read_system_memory(system_root);
  if (budget.fraction) {
    return static_cast<std::int64_t>(static_cast<double>(memory.limit()) * *budget.fraction);
  }
  // This process is part of what is in use already, and part of what the budget is for.
  const std::int64_t limit = std::min(memory.limit(), memory.room() + resident_bytes());
  return limit - std::max(64 * kMiB, limit / 100);
}

std::int64_t process_bytes(const Program& program, std::int64_t held_bytes, bool running) {
  const std::int64_t rule = kProcess + kOp * static_cast<std::int64_t>(program.ops().size()) +
                            (has_other_ranks(program) ? kMessages : 0);
  const std::int64_t held = held_bytes + (running ? 0 : kRun);
  return held <= rule + kClearlyMore ? rule : align_up(held, kStep);
}

std::string binary_units(std::int64_t bytes) {
  if (bytes < kGiB) return std::to_string((bytes + kMiB - 1) / kMiB) + " MiB";
  const std::int64_t hundredths = (bytes * 100 + kGiB - 1) / kGiB;
  const std::string fraction = std::to_string(hundredths % 100);
  return std::to_string(hundredths / 100) + (fraction.size() < 2 ? ".0" : ".") + fraction + " GiB";
}

}  // namespace ingot

#include "engine/session.h"

#include <algorithm>
#include <utility>

#include "engine/error.h"
#include "memory/system_memory.h"

namespace ingot {
namespace {

constexpr std::int64_t kMiB = 1 << 20;
// What the process takes between planning and its peak, measured: code touched for the first time,
// the tokenizer, a checkpoint's buffer, the loader's window, stacks.
constexpr std::int64_t kRunBytes = 12 * kMiB;
// More tokens than this at a time make a micro-step no faster, only larger.
constexpr std::int64_t kEnoughTokens = 8192;

std::string gibibytes(std::int64_t bytes) {
  const std::int64_t hundredths = (bytes * 100 + (1 << 30) - 1) >> 30;
  const std::string fraction = std::to_string(hundredths % 100);
  return std::to_string(hundredths / 100) + (fraction.size() < 2 ? ".0" : ".") + fraction + " GiB";
}

}  // namespace

std::int64_t budget_bytes(const MemoryBudget& budget) {
  if (budget.bytes) return *budget.bytes;
  const SystemMemory memory = read_system_memory();
  // This process is part of what is in use already, and part of what the budget is for.
  const std::int64_t limit = std::min(memory.limit(), memory.room() + resident_bytes());
  if (budget.fraction) {
    return static_cast<std::int64_t>(static_cast<double>(memory.limit()) * *budget.fraction);
  }
  return limit - std::max(64 * kMiB, limit / 100);
}

PlannedTraining plan_training(const RunConfig& config, Backend& backend) {
  PlannedTraining plan;
  plan.budget_bytes = budget_bytes(config.memory.budget);
  for (const std::int64_t batch : micro_batch_choices(config)) {
    const bool given = config.batch.micro_batch.has_value();
    if (!given && batch > 1 && batch * config.data.sequence_length > kEnoughTokens) continue;
    plan.bound.reset();
    plan.compiled = std::make_unique<TrainingProgram>(compile_training(config, batch));
    plan.bound = std::make_unique<BoundProgram>(plan.compiled->program, backend);
    plan.memory = plan_memory(plan.compiled->program);
    plan.process_bytes = resident_bytes() + kRunBytes;
    if (plan.predicted_peak_bytes() <= plan.budget_bytes) return plan;
    plan.rejected.push_back({batch, plan.memory.arena_bytes,
                             "needs " + gibibytes(plan.predicted_peak_bytes()) +
                                 ", the budget is " + gibibytes(plan.budget_bytes)});
  }
  throw Error(ErrorCode::budget,
              "the run does not fit: " + plan.rejected.back().why +
                  (config.batch.micro_batch ? "" : " with one sequence at a time"),
              "memory.budget",
              "the smallest budget that fits is " + gibibytes(plan.predicted_peak_bytes()) +
                  "; or shorten data.sequence_length or batch.micro_batch");
}

std::unique_ptr<Executor> make_executor(PlannedTraining& plan, Backend& backend) {
  return std::make_unique<Executor>(plan.compiled->program, std::move(*plan.bound),
                                    plan.memory.offsets, plan.memory.arena_bytes, backend);
}

}  // namespace ingot

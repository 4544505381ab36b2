#include "planning/planner.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "backends/host/system_memory.h"
#include "engine/base/append_format.h"
#include "engine/base/error.h"
#include "planning/machine/calibration.h"
#include "planning/machine/disk_speed.h"

namespace ingot {
namespace {

constexpr std::int64_t kMiB = 1 << 20, kGiB = 1 << 30;
// What the process takes between planning and its peak, measured: code touched for the first time,
// the tokenizer, a checkpoint's buffer, the loader's window, stacks.
constexpr std::int64_t kRunBytes = 12 * kMiB;
// By how much one process takes more than another for the same plan.
constexpr std::int64_t kOtherProcess = kMiB;
// More tokens than this at a time make a micro-step no faster, only larger.
constexpr std::int64_t kEnoughTokens = 8192;
// A packing may exceed the lower bound the search looked at; then it is asked for a little less.
constexpr int kPackingTries = 4;

// "1.25 GiB" or "96 MiB", rounded up: a budget of what it says is enough.
std::string binary_units(std::int64_t bytes) {
  if (bytes < kGiB) return std::to_string((bytes + kMiB - 1) / kMiB) + " MiB";
  const std::int64_t hundredths = (bytes * 100 + kGiB - 1) / kGiB;
  const std::string fraction = std::to_string(hundredths % 100);
  return std::to_string(hundredths / 100) + (fraction.size() < 2 ? ".0" : ".") + fraction + " GiB";
}

std::optional<ActivationLevel> level_of(ActivationPolicy policy) {
  switch (policy) {
    case ActivationPolicy::automatic:
      return std::nullopt;
    case ActivationPolicy::keep:
      return ActivationLevel::keep;
    case ActivationPolicy::int8:
      return ActivationLevel::int8;
    case ActivationPolicy::compact:
      return ActivationLevel::compact;
    case ActivationPolicy::recompute:
      return ActivationLevel::recompute;
  }
  return std::nullopt;
}

// The sets that a policy lets the planner use, least first.
std::vector<OffloadSet> offload_sets(OffloadPolicy policy) {
  switch (policy) {
    case OffloadPolicy::none:
      return {OffloadSet::none};
    case OffloadPolicy::states:
      return {OffloadSet::states};
    case OffloadPolicy::masters:
      return {OffloadSet::masters};
    case OffloadPolicy::all:
      return {OffloadSet::all};
    case OffloadPolicy::automatic:
      break;
  }
  return {OffloadSet::none, OffloadSet::states, OffloadSet::masters, OffloadSet::all};
}

std::vector<OptimizerState> states_of(OptimizerState state) {
  if (state != OptimizerState::automatic) return {state};
  return {OptimizerState::fp32, OptimizerState::bf16, OptimizerState::int8};
}

class Planner {
 public:
  Planner(const RunConfig& config, Backend& backend, const PlanStart& start)
      : config_(config),
        backend_(backend),
        budget_(budget_bytes(config.memory.budget, start.system_root)),
        start_(start),
        offloads_(offload_sets(config.memory.offload)) {
    plan_.offload_folder = offload_folder(config);
    if (start.predict_time) use_costs();
  }

  PlannedTraining run() {
    if (start_.record != nullptr && allowed(*start_.record)) {
      PlanRecord record = *start_.record;
      take(record);
      if (!fits() && record.pack_weights) {  // the same bits without
        record.pack_weights = false;
        take(record);
      }
      if (fits()) return finish();
    }
    // Where everything fits as it is there is nothing to search.
    const ActivationLevel level = level_.value_or(ActivationLevel::keep);
    const PlanChoices simplest{.micro_batch = batches().front(),
                               .level = level,
                               .offload = offloads_.front(),
                               .state = states_.front()};
    PlanChoices packed = simplest;
    packed.pack_weights = true;
    take(packed);
    if (!fits() && plan_.choices.pack_weights) take(simplest);
    if (!fits()) search();
    return finish();
  }

 private:
  void use_costs() {
    if (costs_) return;
    costs_ = machine_costs(config_, backend_, budget_ - process_bytes(), start_.held_bytes);
    if (offloads_.back() == OffloadSet::none) return;
    // What the system is left for pages of the file when this process takes all its budget.
    const std::int64_t rest = read_system_memory().room() + resident_bytes() - budget_;
    costs_->set_disk(machine_disk(plan_.offload_folder), std::max<std::int64_t>(rest, 0));
  }

  std::vector<std::int64_t> batches() const {
    std::vector<std::int64_t> batches;
    const std::vector<std::int64_t> choices = micro_batch_choices(config_);
    for (const std::int64_t batch : choices) {
      const bool given = choices.size() == 1;
      if (given || batch == 1 || batch * config_.data.sequence_length <= kEnoughTokens) {
        batches.push_back(batch);
      }
    }
    return batches;
  }

  // A config that names its choices has the last word.
  bool allowed(const PlanRecord& record) const {
    const std::vector<std::int64_t> all = micro_batch_choices(config_);
    const auto chunk = config_.memory.head_chunk;
    return !level_ && chunk.value_or(record.head_chunk) == record.head_chunk &&
           std::find(all.begin(), all.end(), record.micro_batch) != all.end() &&
           std::find(offloads_.begin(), offloads_.end(), record.offload) != offloads_.end() &&
           std::find(states_.begin(), states_.end(), record.state) != states_.end();
  }

  bool fits() const { return plan_.predicted_peak_bytes() <= budget_; }

  void take(const PlanChoices& choices) {
    take(compile_chosen(config_, choices, costs_ ? &*costs_ : nullptr), choices);
  }

  void take(const PlanRecord& record) {
    take(compile_recorded(config_, record), {.micro_batch = record.micro_batch,
                                             .offload = record.offload,
                                             .state = record.state,
                                             .head_chunk = record.head_chunk});
  }

  void take(TrainingProgram compiled, const PlanChoices& choices) {
    plan_.bound.reset();
    plan_.choices = choices;
    plan_.choices.head_chunk = compiled.head_chunk;
    plan_.choices.pack_weights = compiled.packed_weights > 0;
    plan_.compiled = std::make_unique<TrainingProgram>(std::move(compiled));
    plan_.bound = std::make_unique<BoundProgram>(plan_.compiled->program, backend_);
    plan_.memory = plan_memory(plan_.compiled->program, *plan_.bound);
    plan_.process_bytes = process_bytes();
  }

  std::int64_t process_bytes() const { return resident_bytes() - start_.held_bytes + kRunBytes; }

  void search() {
    use_costs();
    std::int64_t room = budget_ - process_bytes();
    for (int i = 0; i < kPackingTries; ++i) {
      const PlanSearchResult found = search_plans(config_, backend_, *costs_, space(room));
      if (found.fitting.empty()) return fail(found);
      take(found.fitting.front().choices);
      if (fits()) return list(found);
      room -= plan_.predicted_peak_bytes() - budget_;
    }
    fail({});
  }

  void list(const PlanSearchResult& found) {
    for (std::size_t i = 1; i < found.fitting.size(); ++i) {
      const PlanOption& option = found.fitting[i];
      plan_.rejected.push_back(
          {option.choices, option.arena_bytes, option.step_seconds, "fits, but is slower"});
    }
    for (const PlanOption& option : found.rejected) {
      plan_.rejected.push_back({option.choices, option.arena_bytes, option.step_seconds,
                                "needs " + binary_units(option.arena_bytes + plan_.process_bytes) +
                                    " at least, the budget is " + binary_units(budget_)});
    }
  }

  PlanSpace space(std::int64_t arena_bytes) const {
    return {.batches = batches(),
            .states = states_,
            .offloads = offloads_,
            .level = level_,
            .arena_bytes = arena_bytes};
  }

  void look_at_other_budgets() {
    for (const std::int64_t budget : {budget_ - kGiB, budget_ + kGiB}) {
      const std::int64_t room = budget - process_bytes();
      if (room <= 0) continue;
      PlanSearchResult found = search_plans(config_, backend_, *costs_, space(room));
      plan_.other_budgets.push_back({.budget_bytes = budget});
      if (!found.fitting.empty()) plan_.other_budgets.back().best = found.fitting.front();
    }
  }

  [[noreturn]] void fail(const PlanSearchResult& found) {
    std::int64_t smallest_arena = plan_.memory.arena_bytes();
    for (const PlanOption& option : found.rejected) {
      smallest_arena = std::min(smallest_arena, option.arena_bytes);
    }
    // With what the search itself has left behind: the run that is given this budget searches too.
    const std::int64_t smallest = smallest_arena + process_bytes();
    throw_too_small(smallest);
  }

  [[noreturn]] void throw_too_small(std::int64_t needed) const {
    const std::int64_t smallest = needed + kOtherProcess;
    throw Error(ErrorCode::budget,
                "the run does not fit: it needs " + binary_units(smallest) + ", the budget is " +
                    binary_units(budget_),
                "memory.budget",
                "the smallest budget that fits is " + binary_units(smallest) +
                    "; or shorten data.sequence_length or batch.micro_batch");
  }

  PlannedTraining finish() {
    if (!fits()) throw_too_small(plan_.predicted_peak_bytes());
    plan_.budget_bytes = budget_;
    if (start_.predict_time) look_at_other_budgets();
    if (costs_) plan_.step_seconds = step_seconds(config_, *plan_.compiled, *costs_);
    return std::move(plan_);
  }

  const RunConfig& config_;
  Backend& backend_;
  const std::int64_t budget_;
  const PlanStart start_;
  const std::optional<ActivationLevel> level_ = level_of(config_.memory.activations);
  const std::vector<OffloadSet> offloads_;
  const std::vector<OptimizerState> states_ = states_of(config_.optimizer.state);
  std::optional<CostModel> costs_;
  PlannedTraining plan_;
};

}  // namespace

std::int64_t budget_bytes(const MemoryBudget& budget, const std::string& system_root) {
  if (budget.bytes) return *budget.bytes;
  const SystemMemory memory = read_system_memory(system_root);
  // This process is part of what is in use already, and part of what the budget is for.
  const std::int64_t limit = std::min(memory.limit(), memory.room() + resident_bytes());
  if (budget.fraction) {
    return static_cast<std::int64_t>(static_cast<double>(memory.limit()) * *budget.fraction);
  }
  return limit - std::max(64 * kMiB, limit / 100);
}

PlannedTraining plan_training(const RunConfig& config, Backend& backend, const PlanStart& start) {
  return Planner(config, backend, start).run();
}

std::string doubt_prediction(const PlannedTraining& plan, const RunConfig& config,
                             const Backend& backend, double fastest_step_seconds) {
  constexpr double kContradicted = 0.5;
  if (fastest_step_seconds >= kContradicted * plan.step_seconds) return "";
  bool again = doubt_costs(config, backend);
  if (plan.memory.offload_bytes() > 0) again |= doubt_disk(plan.offload_folder);
  if (!again) return "";
  std::string line;
  append_format(line,
                "a step took %.3g s, predicted were %.3g s: the machine was busy when its speed "
                "was measured; the next plan measures it again",
                fastest_step_seconds, plan.step_seconds);
  return line;
}

std::unique_ptr<Executor> make_executor(PlannedTraining& plan, Backend& backend) {
  return std::make_unique<Executor>(plan.compiled->program, std::move(*plan.bound),
                                    plan.memory.placement, backend, plan.offload_folder);
}

}  // namespace ingot

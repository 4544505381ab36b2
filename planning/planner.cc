#include "planning/planner.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>

#include "backends/host/system_memory.h"
#include "planning/budget.h"
#include "planning/machine/calibration.h"
#include "planning/machine/disk_speed.h"
#include "weights/checkpoint_saver.h"

namespace ingot {
namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;
// A packing may exceed the lower bound the search looked at; then it is asked for a little less.
constexpr int kPackingTries = 4;

constexpr const char* kBitsDiffer = "results will differ in their last bits";

bool same_kind(const PlanChoices& a, const PlanChoices& b) {
  return a.micro_batch == b.micro_batch && a.offload == b.offload && a.state == b.state;
}

// "3.5 GiB on the disk of offloaded tensors, 1.2 GiB are free"
std::string disk_needed(std::int64_t bytes, std::int64_t free_bytes) {
  return binary_units(bytes) + " on the disk of offloaded tensors, " + binary_units(free_bytes) +
         " are free";
}
std::string disk_needed(const PlannedTraining& plan) {
  return disk_needed(plan.memory.offload_bytes(), plan.disk_bytes);
}

class Planner {
 public:
  Planner(const RunConfig& config, Backend& backend, const PlanStart& start)
      : config_(config), backend_(backend), start_(start), open_(open_choices(config)) {
    plan_.budget_bytes = budget_bytes(config.memory.budget, start.system_root);
    plan_.parameters = count_parameters(config.model);
    page_bytes_ = std::max<std::int64_t>(
        read_system_memory(start.system_root).limit() - plan_.budget_bytes, 0);
    plan_.offload_folder = offload_folder(config);
    const MemoryRoom disk =
        backend.limits(existing_part(plan_.offload_folder))[static_cast<int>(MemoryKind::disk)];
    if (disk.total > 0) plan_.disk_bytes = disk.free + start.held_disk_bytes;
    // Read once: what the search leaves behind must not change what fits.
    const std::int64_t held = resident_bytes() - start.held_bytes;
    const TrainingProgram least = compile_chosen(config, simplest(open_.batches.back()), nullptr);
    plan_.process_bytes = process_bytes(least.program, held, /*running=*/start.held_bytes > 0);
    const BoundProgram bound(least.program, backend);
    probe_bytes_ = std::min(room(plan_.budget_bytes), least_arena_bytes(least.program, bound));
    if (start.predict_time) use_costs();
  }

  PlannedTraining run() {
    if (!take_recorded() && !take_simple()) search();
    if (costs_) plan_.step_seconds = step_seconds(*plan_.compiled, *costs_);
    if (start_.predict_time) look_at_other_budgets();
    plan_.snapshot_bytes = snapshot_that_fits();
    return std::move(plan_);
  }

 private:
  std::int64_t room(std::int64_t budget) const { return budget - plan_.process_bytes; }

  // Where there is no room saves pass through a small buffer, which the process' own part has.
  std::int64_t snapshot_that_fits() const {
    const std::int64_t every = config_.checkpoint.every;
    if (every == 0 || every >= config_.schedule.steps)
      return 0;  // none but the last: nothing waits
    const std::int64_t bytes = snapshot_bytes(plan_.compiled->program);
    return plan_.predicted_peak_bytes() + bytes <= plan_.budget_bytes ? bytes : 0;
  }

  void use_costs() {
    if (costs_) return;
    // A run that is promised to stay within its plan measures too: in the memory of the smallest.
    costs_ = machine_costs(config_, backend_, probe_bytes_, start_.held_bytes);
    if (open_.offloads.back() == OffloadSet::none) return;
    costs_->set_disk(machine_disk(plan_.offload_folder), page_bytes_);
  }

  // As little as possible done to save memory.
  PlanChoices simplest(std::int64_t batch) const {
    return {.micro_batch = batch,
            .level = open_.level.value_or(ActivationLevel::keep),
            .offload = open_.offloads.front(),
            .state = open_.states.front(),
            .fetch_ahead = static_cast<int>(config_.memory.fetch_ahead.value_or(0))};
  }

  PlanSpace everything(std::int64_t arena_bytes) const {
    PlanSpace space = open_;
    space.arena_bytes = arena_bytes;
    space.disk_bytes = plan_.disk_bytes;
    return space;
  }
  PlanSpace simple_ones(std::int64_t arena_bytes) const {
    PlanSpace space = everything(arena_bytes);
    space.offloads.resize(1);
    space.states.resize(1);
    return space;
  }
  PlanSearchResult look_through(const PlanSpace& space) {
    use_costs();
    return search_plans(config_, backend_, *costs_, space);
  }

  // Compiles, binds and packs. Whether it fits.
  bool take(const PlanChoices& choices) {
    return take(compile_chosen(config_, choices, costs_ ? &*costs_ : nullptr), choices);
  }
  bool take(const PlanRecord& record) {
    return take(compile_recorded(config_, record), {.micro_batch = record.micro_batch,
                                                    .offload = record.offload,
                                                    .state = record.state,
                                                    .head_chunk = record.head_chunk});
  }
  // The same with copies less far ahead where a packing does not fit.
  bool take_with_less_ahead(PlanChoices choices) {
    while (!take(choices)) {
      if (choices.fetch_ahead == 0 || config_.memory.fetch_ahead) return false;
      choices.fetch_ahead /= 2;
    }
    return true;
  }
  bool take(TrainingProgram compiled, const PlanChoices& choices) {
    plan_.bound.reset();
    plan_.choices = choices;
    plan_.choices.head_chunk = compiled.head_chunk;
    plan_.choices.pack_weights = compiled.packed_weights > 0;
    plan_.choices.fetch_ahead = compiled.fetch_ahead;
    plan_.compiled = std::make_unique<TrainingProgram>(std::move(compiled));
    plan_.bound = std::make_unique<BoundProgram>(plan_.compiled->program, backend_);
    plan_.memory = plan_memory(plan_.compiled->program, *plan_.bound, plan_.compiled->schedule);
    return plan_.fits();
  }

  // The plan of a checkpoint: a resumed run then computes the same bits.
  bool take_recorded() {
    std::string why = start_.record_problem;
    if (start_.record != nullptr) {
      try {
        why = refuse_recorded(*start_.record);
      } catch (const Error& error) {
        why = error.problem();
      }
      if (why.empty()) {
        plan_.of_record = "plan: as recorded in the checkpoint";
        return true;
      }
    }
    if (!why.empty()) plan_.of_record = "warning: planned anew, " + why + "; " + kBitsDiffer;
    return false;
  }

  // Takes it and returns ""; or why not. Throws what compile_recorded() throws.
  std::string refuse_recorded(PlanRecord record) {
    if (!allowed(record)) return "the config rules out the plan that the checkpoint recorded";
    if (const auto named = config_.memory.fetch_ahead) {  // the same bits
      record.fetch_ahead = static_cast<int>(*named);
    }
    if (take(record)) return "";
    const std::int64_t needed = plan_.predicted_peak_bytes();
    if (record.fetch_ahead > 0 && !config_.memory.fetch_ahead) {
      record.fetch_ahead = 0;
      if (take(record)) return "";
    }
    if (record.pack_weights) {
      record.pack_weights = false;
      if (take(record)) return "";
    }
    if (plan_.short_of() == MemoryKind::disk) {
      return "the plan that the checkpoint recorded needs " + disk_needed(plan_);
    }
    return "the plan that the checkpoint recorded needs " + binary_units(needed) +
           ", the budget is " + binary_units(plan_.budget_bytes);
  }

  // What the config names has the last word.
  bool allowed(const PlanRecord& record) const {
    const auto holds = [](const auto& all, auto one) {
      return std::find(all.begin(), all.end(), one) != all.end();
    };
    return holds(micro_batch_choices(config_), record.micro_batch) &&
           holds(open_.offloads, record.offload) && holds(open_.states, record.state) &&
           config_.memory.head_chunk.value_or(record.head_chunk) == record.head_chunk &&
           (!open_.level || record.stored == stored_at(*open_.level, record));
  }

  // How activations are stored at this level, all else as recorded.
  std::map<std::string, Storage> stored_at(ActivationLevel level, const PlanRecord& record) const {
    const TrainingProgram compiled = compile_chosen(config_,
                                                    {.micro_batch = record.micro_batch,
                                                     .level = level,
                                                     .offload = record.offload,
                                                     .state = record.state,
                                                     .head_chunk = record.head_chunk},
                                                    nullptr);
    return record_of(compiled).stored;
  }

  // Where the largest micro-batch fits and nothing must be done to save memory, only the
  // micro-batch is left to choose. False where it does not.
  bool take_simple() {
    const PlanChoices unpacked = simplest(open_.batches.front());
    PlanChoices packed = unpacked;
    packed.pack_weights = true;
    if (!take(packed) && !(plan_.choices.pack_weights && take(unpacked))) return false;
    const bool ahead_helps =
        plan_.memory.offload_bytes() > page_bytes_ && !config_.memory.fetch_ahead;
    if (open_.batches.size() == 1 && !ahead_helps) return true;
    const PlanSearchResult found = look_through(simple_ones(room(plan_.budget_bytes)));
    const std::optional<PlanOption> best = best_of(found);
    if (best && (best->choices.micro_batch != plan_.choices.micro_batch ||
                 best->choices.fetch_ahead != plan_.choices.fetch_ahead)) {
      const PlanChoices largest = plan_.choices;
      if (!take_with_less_ahead(best->choices)) take(largest);
    }
    list(found);
    return true;
  }

  // The largest micro-batch, unless another is faster by more than the costs may be wrong: so that
  // noise in them changes no plan. Nothing where the largest does not fit.
  std::optional<PlanOption> best_of(const PlanSearchResult& simple) const {
    const auto largest =
        std::ranges::find(simple.fitting, open_.batches.front(),
                          [](const PlanOption& option) { return option.choices.micro_batch; });
    if (largest == simple.fitting.end()) return std::nullopt;
    const PlanOption& fastest = simple.fitting.front();
    const bool clearly = fastest.step_seconds * (1 + costs_->error()) <
                         largest->step_seconds * (1 - costs_->error());
    return clearly ? fastest : *largest;
  }

  void search() {
    PlanSearchResult found;
    if (take_fitting(found)) return list(found);
    take_smallest();
    if (!plan_.fits()) refuse();
  }

  // The fastest that packs into the budget: `found` is the search that it comes from.
  bool take_fitting(PlanSearchResult& found) {
    std::int64_t arena = room(plan_.budget_bytes);
    for (int i = 0; i < kPackingTries; ++i) {
      found = look_through(everything(arena));
      if (found.fitting.empty()) return false;
      const PlanOption& fastest = found.fitting.front();
      if (take(fastest.choices)) return true;
      if (plan_.short_of() == MemoryKind::disk) break;
      const std::int64_t excess = plan_.predicted_peak_bytes() - plan_.budget_bytes;
      arena = std::min(arena - excess, fastest.arena_bytes - 1);
    }
    return std::ranges::any_of(found.fitting,
                               [this](const PlanOption& option) { return take(option.choices); });
  }

  // The plan that packs into the least memory, whatever the budget: no search for a byte less finds
  // one, so that the smallest budget that is named is one.
  void take_smallest() {
    take_smallest_bound();
    const std::int64_t budget = plan_.budget_bytes;
    while (plan_.memory.offload_bytes() <= plan_.disk_bytes) {
      const PlanChoices smallest = plan_.choices;
      plan_.budget_bytes = plan_.predicted_peak_bytes() - 1;
      PlanSearchResult found;
      if (take_fitting(found)) continue;
      plan_.budget_bytes = budget;
      take(smallest);
      return;
    }
    plan_.budget_bytes = budget;
  }

  // Of those with the smallest lower bounds the one that packs best; of those whose file has room
  // on the disk, if there are any.
  void take_smallest_bound() {
    std::vector<PlanOption> options = look_through(everything(0)).rejected;
    const auto has_no_disk = [this](const PlanOption& option) {
      return option.offload_bytes > plan_.disk_bytes;
    };
    if (!std::ranges::all_of(options, has_no_disk)) std::erase_if(options, has_no_disk);
    std::ranges::stable_sort(options, {}, &PlanOption::arena_bytes);
    PlanChoices smallest;
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (const PlanOption& option : options) {
      if (option.arena_bytes >= least) break;
      take(option.choices);
      if (plan_.memory.arena_bytes() >= least) continue;
      least = plan_.memory.arena_bytes();
      smallest = option.choices;
    }
    if (plan_.memory.arena_bytes() > least) take(smallest);
  }

  [[noreturn]] void refuse() {
    plan_.step_seconds = step_seconds(*plan_.compiled, *costs_);
    throw DoesNotFit(std::move(plan_));
  }

  // The best of each kind that was found and not taken.
  void list(const PlanSearchResult& found) {
    const double seconds = step_seconds(*plan_.compiled, *costs_);
    for (const PlanOption& option : found.fitting) {
      if (same_kind(option.choices, plan_.choices)) continue;
      reject(option, option.step_seconds > seconds
                         ? "fits, but is slower"
                         : "fits, but is faster by less than predictions err");
    }
    for (const PlanOption& option : found.rejected) {
      if (option.offload_bytes > plan_.disk_bytes) {
        reject(option, "needs " + disk_needed(option.offload_bytes, plan_.disk_bytes));
        continue;
      }
      reject(option, "needs " + binary_units(option.arena_bytes + plan_.process_bytes) +
                         " at least, the budget is " + binary_units(plan_.budget_bytes));
    }
  }
  void reject(const PlanOption& option, std::string why) {
    plan_.rejected.push_back(
        {option.choices, option.arena_bytes, option.step_seconds, std::move(why)});
  }

  void look_at_other_budgets() {
    for (const std::int64_t budget : {plan_.budget_bytes - kGiB, plan_.budget_bytes + kGiB}) {
      if (room(budget) <= 0) continue;
      plan_.other_budgets.push_back({.budget_bytes = budget, .best = best_within(room(budget))});
    }
  }

  // What would be taken, if it packs without gaps.
  std::optional<PlanOption> best_within(std::int64_t arena_bytes) {
    if (const auto best = best_of(look_through(simple_ones(arena_bytes)))) return best;
    const PlanSearchResult found = look_through(everything(arena_bytes));
    return found.fitting.empty() ? std::nullopt : std::optional(found.fitting.front());
  }

  const RunConfig& config_;
  Backend& backend_;
  const PlanStart start_;
  const PlanSpace open_;
  std::int64_t probe_bytes_ = 0;
  // What the system is left for pages of the file when this process takes all its budget.
  std::int64_t page_bytes_ = 0;
  std::optional<CostModel> costs_;
  PlannedTraining plan_;
};

Error refusal_of(const PlannedTraining& smallest) {
  if (smallest.short_of() == MemoryKind::disk) {
    return {ErrorCode::budget, "the run does not fit: it needs " + disk_needed(smallest),
            smallest.offload_folder.string(),
            "set memory.offload_directory to a folder on a disk with room, or offload less"};
  }
  return {ErrorCode::budget,
          "the run does not fit: it needs " + binary_units(smallest.predicted_peak_bytes()) +
              " of memory, the budget is " + binary_units(smallest.budget_bytes),
          "memory.budget",
          "the smallest budget that fits is " + binary_units(smallest.predicted_peak_bytes()) +
              "; or shorten data.sequence_length or batch.micro_batch"};
}

}  // namespace

PlannedTraining plan_training(const RunConfig& config, Backend& backend, const PlanStart& start) {
  return Planner(config, backend, start).run();
}

DoesNotFit::DoesNotFit(PlannedTraining smallest)
    : Error(refusal_of(smallest)),
      smallest_(std::make_shared<const PlannedTraining>(std::move(smallest))) {}

}  // namespace ingot

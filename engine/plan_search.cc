#include "engine/plan_search.h"

#include <algorithm>
#include <cmath>

#include "memory/plan.h"

namespace ingot {
namespace {

// Seconds for a byte of memory: from less than a copy costs to more than anything does.
constexpr double kLeastPrice = 1e-11, kMostPrice = 1;
constexpr double kPriceStep = 2, kLastFinePrice = 1e-6;

std::vector<double> price_ladder() {
  std::vector<double> prices = {0};
  for (double price = kLeastPrice; price < kLastFinePrice; price *= kPriceStep) {
    prices.push_back(price);
  }
  prices.push_back(kMostPrice);
  return prices;
}

StorageCosts costs_of(const Program& program, const SavedActivation& activation,
                      const CostModel& costs) {
  const TensorInfo& info = program.tensors()[activation.tensor];
  StorageCosts result;
  result.int8_seconds =
      costs.seconds_of_bytes("quantize " + std::string(name_of(info.dtype)),
                             static_cast<double>(activation.bytes + activation.int8_bytes)) +
      costs.seconds_of_bytes("dequantize " + std::string(name_of(DType::i8)),
                             static_cast<double>(activation.bytes + activation.int8_bytes));
  for (const std::size_t op : activation.recompute_ops) {
    result.recompute_seconds += costs.seconds(program, program.ops()[op]);
  }
  return result;
}

ChooseStorage storage_chooser(const PlanChoices& choices, const CostModel* costs) {
  if (choices.level) {
    if (*choices.level == ActivationLevel::keep) return {};
    return [level = *choices.level](const Program& program, auto saved) {
      return storage_at(program, saved, level);
    };
  }
  return [choices, costs](const Program& program, std::span<const SavedActivation> saved) {
    std::vector<Storage> storage(program.tensors().size(), Storage::keep);
    for (const SavedActivation& activation : saved) {
      const bool dear = activation.layer >= 0 && activation.layer < choices.dear_layers;
      storage[activation.tensor] =
          cheapest_storage(activation, costs_of(program, activation, *costs),
                           dear ? choices.dear_price : choices.cheap_price);
    }
    return storage;
  };
}

class Search {
 public:
  Search(const RunConfig& config, Backend& backend, const CostModel& costs,
         std::int64_t arena_budget)
      : config_(config), backend_(backend), costs_(costs), budget_(arena_budget) {}

  PlanSearchResult run(std::span<const std::int64_t> batches) {
    for (const std::int64_t batch : batches) search_batch(batch);
    const auto by_time = [](const PlanOption& a, const PlanOption& b) {
      return a.step_seconds < b.step_seconds;
    };
    std::stable_sort(result_.fitting.begin(), result_.fitting.end(), by_time);
    return std::move(result_);
  }

 private:
  PlanOption evaluate(const PlanChoices& choices) {
    const auto compiled = compile_training(config_, choices, &costs_);
    const BoundProgram bound(compiled->program, backend_);
    return {choices, least_arena_bytes(compiled->program),
            ingot::step_seconds(config_, *compiled, costs_)};
  }

  // The lowest rung of the ladder that fits, then as few layers on it as do.
  void search_batch(std::int64_t batch) {
    static const std::vector<double> kPrices = price_ladder();
    const int layers =
        static_cast<int>(config_.model.num_hidden_layers + config_.model.num_nextn_predict_layers);
    std::optional<PlanOption> smallest;
    const auto at = [&](std::size_t rung) {
      return evaluate({.micro_batch = batch,
                       .cheap_price = kPrices[rung],
                       .dear_price = kPrices[rung],
                       .dear_layers = layers});
    };
    // Bytes fall as the price rises, but for what restored copies add: look at the ends first.
    std::size_t low = 0, high = kPrices.size() - 1;
    PlanOption best = at(low);
    if (best.arena_bytes <= budget_) {
      result_.fitting.push_back(best);
      return;
    }
    smallest = best;
    best = at(high);
    if (best.arena_bytes > budget_) {
      for (std::size_t rung = 1; rung < high; ++rung) {
        const PlanOption option = at(rung);
        if (option.arena_bytes < smallest->arena_bytes) smallest = option;
        if (option.arena_bytes > budget_) continue;
        result_.fitting.push_back(option);
        return;
      }
      if (best.arena_bytes < smallest->arena_bytes) smallest = best;
      result_.rejected.push_back(*smallest);
      return;
    }
    while (high - low > 1) {
      const std::size_t middle = (low + high) / 2;
      const PlanOption option = at(middle);
      if (option.arena_bytes <= budget_) {
        high = middle;
        best = option;
      } else {
        low = middle;
      }
    }
    // Layers [0, dear) on the rung that fits, the others on the one below.
    int fits = layers, fails = 0;
    while (fits - fails > 1) {
      const int middle = (fits + fails) / 2;
      const PlanOption option = evaluate({.micro_batch = batch,
                                          .cheap_price = kPrices[low],
                                          .dear_price = kPrices[high],
                                          .dear_layers = middle});
      if (option.arena_bytes <= budget_) {
        fits = middle;
        if (option.step_seconds <= best.step_seconds) best = option;
      } else {
        fails = middle;
      }
    }
    result_.fitting.push_back(best);
  }

  const RunConfig& config_;
  Backend& backend_;
  const CostModel& costs_;
  std::int64_t budget_;
  PlanSearchResult result_;
};

}  // namespace

std::unique_ptr<TrainingProgram> compile_training(const RunConfig& config,
                                                  const PlanChoices& choices,
                                                  const CostModel* costs) {
  return std::make_unique<TrainingProgram>(
      compile_training(config, choices.micro_batch, storage_chooser(choices, costs)));
}

double step_seconds(const RunConfig& config, const TrainingProgram& compiled,
                    const CostModel& costs) {
  const double micro_steps = static_cast<double>(config.batch.tokens_per_step) /
                             static_cast<double>(compiled.batch * compiled.sequence);
  return micro_steps * costs.seconds(compiled.program, Part::micro_step) +
         costs.seconds(compiled.program, Part::update);
}

PlanSearchResult search_plans(const RunConfig& config, Backend& backend, const CostModel& costs,
                              std::span<const std::int64_t> batches, std::int64_t arena_budget) {
  return Search(config, backend, costs, arena_budget).run(batches);
}

}  // namespace ingot

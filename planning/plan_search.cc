#include "planning/plan_search.h"

#include <algorithm>
#include <optional>

#include "engine/execution/executor.h"
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

class Search {
 public:
  Search(const RunConfig& config, Backend& backend, const CostModel& costs, const PlanSpace& space)
      : config_(config), backend_(backend), costs_(costs), space_(space) {}

  PlanSearchResult run() {
    for (const std::int64_t batch : space_.batches) {
      for (const OptimizerState state : space_.states) {
        for (const OffloadSet offload : space_.offloads) {
          const PlanChoices choices{
              .micro_batch = batch, .level = space_.level, .offload = offload, .state = state};
          // Nothing is gained by offloading more than it takes to keep everything else as it is.
          if (space_.level ? try_level(choices) : try_mixtures(choices)) break;
        }
      }
    }
    for (PlanOption& option : result_.fitting) pack_where_it_fits(option);
    std::stable_sort(
        result_.fitting.begin(), result_.fitting.end(),
        [](const PlanOption& a, const PlanOption& b) { return a.step_seconds < b.step_seconds; });
    return std::move(result_);
  }

 private:
  PlanOption evaluate(const PlanChoices& choices) {
    TrainingProgram compiled = compile_chosen(config_, choices, &costs_);
    const BoundProgram bound(compiled.program, backend_);
    PlanOption option{choices, least_arena_bytes(compiled.program, bound),
                      step_seconds(config_, compiled, costs_)};
    option.choices.head_chunk = compiled.head_chunk;
    option.choices.pack_weights = compiled.packed_weights > 0;
    return option;
  }

  // Nothing else is given up for it.
  void pack_where_it_fits(PlanOption& option) {
    if (micro_steps(config_, option.choices.micro_batch) < 2) return;
    PlanChoices choices = option.choices;
    choices.pack_weights = true;
    const PlanOption packed = evaluate(choices);
    if (fits(packed)) option = packed;
  }

  bool fits(const PlanOption& option) const { return option.arena_bytes <= space_.arena_bytes; }

  // True when it fits with the head's own chunk; smaller chunks are tried for as long as they help.
  bool try_level(PlanChoices choices) {
    PlanOption option = evaluate(choices);
    const bool at_once = fits(option);
    if (!at_once && !config_.memory.head_chunk) {
      for (const std::int64_t rows : smaller_head_chunks(option.choices.head_chunk)) {
        choices.head_chunk = rows;
        const PlanOption smaller = evaluate(choices);
        if (smaller.arena_bytes >= option.arena_bytes) break;
        option = smaller;
        if (fits(option)) break;
      }
    }
    (fits(option) ? result_.fitting : result_.rejected).push_back(option);
    return at_once;
  }

  // Looks for the fastest mixture of stored activations that fits: the lowest price of a byte, in
  // as few layers as do. True when everything fits as it is.
  bool try_mixtures(const PlanChoices& choices) {
    const Rung keep = at_price(choices, 0);
    if (fits(keep.option)) {
      result_.fitting.push_back(keep.option);
      return true;
    }
    const Rung high = highest_price_that_fits(choices, keep);
    if (!fits(high.option)) {
      result_.rejected.push_back(high.option);
      return false;
    }
    result_.fitting.push_back(fewest_layers(choices, lowest_price_that_fits(choices, high)));
    return false;
  }

  // A price on the ladder, and what all layers at that price take.
  struct Rung {
    std::size_t price = 0;
    PlanOption option;
  };

  PlanOption mixture(PlanChoices choices, std::size_t cheap, std::size_t dear, int dear_layers) {
    choices.cheap_price = prices_[cheap];
    choices.dear_price = prices_[dear];
    choices.dear_layers = dear_layers;
    return evaluate(choices);
  }
  Rung at_price(const PlanChoices& choices, std::size_t price) {
    return {price, mixture(choices, price, price, layers_)};
  }

  // From the top down, for as long as that saves memory: the first that fits, else the smallest of
  // them and of `keep`. Bytes fall as the price rises, but for what restored copies add at the very
  // end.
  Rung highest_price_that_fits(const PlanChoices& choices, const Rung& keep) {
    Rung smallest = keep;
    for (std::size_t price = prices_.size() - 1; price > keep.price; --price) {
      const Rung rung = at_price(choices, price);
      if (fits(rung.option)) return rung;
      if (rung.option.arena_bytes > smallest.option.arena_bytes) break;
      smallest = rung;
    }
    return smallest;
  }

  // By bisection, below one that fits.
  Rung lowest_price_that_fits(const PlanChoices& choices, Rung fitting) {
    std::size_t too_low = 0;
    while (fitting.price - too_low > 1) {
      const Rung middle = at_price(choices, (too_low + fitting.price) / 2);
      if (fits(middle.option)) {
        fitting = middle;
      } else {
        too_low = middle.price;
      }
    }
    return fitting;
  }

  // By bisection: the layers that pay the lowest price that fits, while all others pay the next
  // lower one. `all` where fewer layers would not be faster.
  PlanOption fewest_layers(const PlanChoices& choices, const Rung& all) {
    PlanOption best = all.option;
    int enough = layers_, too_few = 0;
    while (enough - too_few > 1) {
      const int middle = (enough + too_few) / 2;
      const PlanOption option = mixture(choices, all.price - 1, all.price, middle);
      if (!fits(option)) {
        too_few = middle;
        continue;
      }
      enough = middle;
      if (option.step_seconds <= best.step_seconds) best = option;
    }
    return best;
  }

  const RunConfig& config_;
  Backend& backend_;
  const CostModel& costs_;
  const PlanSpace& space_;
  const std::vector<double> prices_ = price_ladder();
  const int layers_ =
      static_cast<int>(config_.model.num_hidden_layers + config_.model.num_nextn_predict_layers);
  PlanSearchResult result_;
};

}  // namespace

PlanSearchResult search_plans(const RunConfig& config, Backend& backend, const CostModel& costs,
                              const PlanSpace& space) {
  return Search(config, backend, costs, space).run();
}

}  // namespace ingot

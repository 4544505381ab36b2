#include "planning/plan_search.h"

#include <algorithm>
#include <optional>

#include "engine/execution/executor.h"
#include "memory/plan.h"

namespace ingot {
namespace {

// Seconds for a byte of memory: from less than a copy costs to more than anything does.
constexpr double kLeastPrice = 1e-11, kMostPrice = 1;
constexpr int kMostAheadTried = 4;
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
          const PlanChoices choices{.micro_batch = batch,
                                    .level = space_.level,
                                    .offload = offload,
                                    .state = state,
                                    .fetch_ahead = named_ahead(offload)};
          // Nothing is gained by offloading more than it takes to keep everything else as it is.
          if (try_offload_set(choices)) break;
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
  // The best that was found for some choices, or the smallest, which does not fit.
  struct Found {
    PlanOption option;
    bool at_once = false;  // nothing had to be done to save memory
  };

  PlanOption evaluate(const PlanChoices& choices) {
    TrainingProgram compiled = compile_chosen(config_, choices, &costs_);
    const BoundProgram bound(compiled.program, backend_);
    PlanOption option{choices, least_arena_bytes(compiled.program, bound),
                      step_seconds(compiled, costs_), offloaded_bytes(compiled.program),
                      costs_.waits_for_disk(compiled.program)};
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

  bool fits(const PlanOption& option) const {
    return option.arena_bytes <= space_.arena_bytes && option.offload_bytes <= space_.disk_bytes;
  }

  int named_ahead(OffloadSet offload) const {
    const bool none = offload == OffloadSet::none;
    return none ? 0 : static_cast<int>(config_.memory.fetch_ahead.value_or(0));
  }

  // With copies as far ahead as makes the step clearly faster; without a disk to wait for there is
  // nothing to gain. True when everything fits as it is.
  bool try_offload_set(PlanChoices choices) {
    Found best = find(choices);
    if (best.option.waits_for_disk && fits(best.option) && !config_.memory.fetch_ahead) {
      for (choices.fetch_ahead = 1; choices.fetch_ahead <= kMostAheadTried;
           choices.fetch_ahead *= 2) {
        const Found ahead = find(choices);
        if (!fits(ahead.option)) break;
        if (ahead.option.step_seconds * (1 + costs_.error()) < best.option.step_seconds) {
          best.option = ahead.option;
        }
      }
    }
    (fits(best.option) ? result_.fitting : result_.rejected).push_back(best.option);
    return best.at_once;
  }

  Found find(const PlanChoices& choices) {
    return space_.level ? at_level(choices) : mixture(choices);
  }

  // At once: with the head's own chunk; smaller ones are tried for as long as they help.
  Found at_level(PlanChoices choices) {
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
    return {option, at_once};
  }

  // The fastest mixture of stored activations that fits: the lowest price of a byte, in as few
  // layers as do.
  Found mixture(const PlanChoices& choices) {
    const Rung keep = at_price(choices, 0);
    if (fits(keep.option)) return {keep.option, true};
    const Rung high = highest_price_that_fits(choices, keep);
    if (!fits(high.option)) return {high.option};
    return {fewest_layers(choices, lowest_price_that_fits(choices, high))};
  }

  // A price on the ladder, and what all layers at that price take.
  struct Rung {
    std::size_t price = 0;
    PlanOption option;
  };

  PlanOption priced(PlanChoices choices, std::size_t cheap, std::size_t dear, int dear_layers) {
    choices.cheap_price = prices_[cheap];
    choices.dear_price = prices_[dear];
    choices.dear_layers = dear_layers;
    return evaluate(choices);
  }
  Rung at_price(const PlanChoices& choices, std::size_t price) {
    return {price, priced(choices, price, price, layers_)};
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
      const PlanOption option = priced(choices, all.price - 1, all.price, middle);
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

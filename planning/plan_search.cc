#include "planning/plan_search.h"

#include <algorithm>
#include <cmath>

#include "memory/plan.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/quantize/quantize.h"

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

// Of quantizing the activation and of restoring it: two ops, made here only to be priced.
double seconds_in_8_bits(const Program& program, const SavedActivation& activation,
                         const CostModel& costs) {
  if (activation.int8_bytes == 0) return 0;
  Program ops;
  const Tensor values = ops.add_tensor(program.tensors()[activation.tensor]);
  const Quantized codes = quantize(ops, values, {.group = kActivationGroup});
  dequantize(ops, codes, values, kActivationGroup);
  const auto bytes = static_cast<double>(activation.bytes + activation.int8_bytes);
  double seconds = 0;
  for (const Op& op : ops.ops()) {
    seconds += costs.seconds_of_bytes(CostModel::key_of(ops, op), bytes);
  }
  return seconds;
}

StorageCosts costs_of(const Program& program, const SavedActivation& activation,
                      const CostModel& costs) {
  StorageCosts result{.int8_seconds = seconds_in_8_bits(program, activation, costs)};
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

// What a chunk of so many tokens can be halved to; fewer than the last leave the products too
// little to do for each weight they read.
std::vector<std::int64_t> smaller_head_chunks(std::int64_t rows) {
  constexpr std::int64_t kLeast = 64;
  std::vector<std::int64_t> chunks;
  while ((rows /= 2) >= kLeast) chunks.push_back(rows);
  return chunks;
}

// Seconds of the head when it is done in chunks of so many tokens and a byte of logits costs
// `price` of them.
double head_cost(Program& program, const CostModel& costs, std::int64_t rows, double price) {
  set_head_chunk(program, rows);
  double seconds = 0, logits = 0;
  for (const Op& op : program.ops(Part::micro_step)) {
    if (!is_head(op)) continue;
    seconds += costs.seconds(program, op);
    logits = std::max(logits, static_cast<double>(rows * program.rows(op.inputs[1])));
  }
  return seconds + price * logits * size_of(DType::f32);
}

// The cheapest chunk: half as many tokens, and half again, make the head slower and smaller.
void choose_head_chunk(TrainingProgram& compiled, const CostModel& costs, double price) {
  Program& program = compiled.program;
  double least = head_cost(program, costs, compiled.head_chunk, price);
  for (const std::int64_t rows : smaller_head_chunks(compiled.head_chunk)) {
    const double cost = head_cost(program, costs, rows, price);
    if (cost >= least) continue;
    compiled.head_chunk = rows;
    least = cost;
  }
  set_head_chunk(program, compiled.head_chunk);
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
          if (space_.level ? try_level(choices) : try_prices(choices)) break;
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
                      ingot::step_seconds(config_, compiled, costs_)};
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

  // The lowest rung of the ladder of prices that fits, then as few layers on it as do. True when
  // that is the ladder's foot.
  bool try_prices(PlanChoices choices) {
    static const std::vector<double> kPrices = price_ladder();
    const int layers =
        static_cast<int>(config_.model.num_hidden_layers + config_.model.num_nextn_predict_layers);
    const auto mixture = [&](std::size_t cheap, std::size_t dear, int dear_layers) {
      choices.cheap_price = kPrices[cheap];
      choices.dear_price = kPrices[dear];
      choices.dear_layers = dear_layers;
      return evaluate(choices);
    };
    // Bytes fall as the price rises, but for what restored copies add at the very end.
    PlanOption best = mixture(0, 0, layers);
    if (fits(best)) {
      result_.fitting.push_back(best);
      return true;
    }
    PlanOption smallest = best;
    std::size_t low = 0, high = kPrices.size() - 1;
    for (; high > low; --high) {
      best = mixture(high, high, layers);
      if (best.arena_bytes < smallest.arena_bytes) smallest = best;
      if (fits(best) || best.arena_bytes > smallest.arena_bytes) break;
    }
    if (!fits(best)) {
      result_.rejected.push_back(smallest);
      return false;
    }
    while (high - low > 1) {
      const std::size_t middle = (low + high) / 2;
      const PlanOption option = mixture(middle, middle, layers);
      (fits(option) ? high : low) = middle;
      if (fits(option)) best = option;
    }
    int enough = layers, too_few = 0;  // layers on rung `high`, the others on `low`
    while (enough - too_few > 1) {
      const int middle = (enough + too_few) / 2;
      const PlanOption option = mixture(low, high, middle);
      (fits(option) ? enough : too_few) = middle;
      if (fits(option) && option.step_seconds <= best.step_seconds) best = option;
    }
    result_.fitting.push_back(best);
    return false;
  }

  const RunConfig& config_;
  Backend& backend_;
  const CostModel& costs_;
  const PlanSpace& space_;
  PlanSearchResult result_;
};

}  // namespace

TrainingProgram compile_chosen(const RunConfig& config, const PlanChoices& choices,
                               const CostModel* costs) {
  RunConfig chosen = config;
  chosen.optimizer.state = choices.state;
  const std::int64_t head_chunk = config.memory.head_chunk.value_or(choices.head_chunk);
  TrainingProgram compiled = compile_training(chosen, {.batch = choices.micro_batch,
                                                       .storage = storage_chooser(choices, costs),
                                                       .offload = choices.offload,
                                                       .head_chunk = head_chunk,
                                                       .pack_weights = choices.pack_weights});
  if (head_chunk == 0 && choices.dear_price > 0) {
    choose_head_chunk(compiled, *costs, choices.dear_price);
  }
  return compiled;
}

double step_seconds(const RunConfig& config, const TrainingProgram& compiled,
                    const CostModel& costs) {
  return static_cast<double>(micro_steps(config, compiled.batch)) *
             costs.seconds(compiled.program, Part::micro_step) +
         costs.seconds(compiled.program, Part::update);
}

PlanSearchResult search_plans(const RunConfig& config, Backend& backend, const CostModel& costs,
                              const PlanSpace& space) {
  return Search(config, backend, costs, space).run();
}

}  // namespace ingot

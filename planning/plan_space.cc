#include "planning/plan_space.h"

#include <algorithm>
#include <iterator>

#include "planning/compile/plan_options.h"

namespace ingot {
namespace {

// More tokens than this at a time make a micro-step no faster, only larger.
constexpr std::int64_t kEnoughTokens = 8192;

// Largest first. Each divisor below the root has its partner above.
std::vector<std::int64_t> divisors(std::int64_t number) {
  std::vector<std::int64_t> large, small;
  for (std::int64_t divisor = 1; divisor <= number / divisor; ++divisor) {
    if (number % divisor != 0) continue;
    large.push_back(number / divisor);
    if (divisor != number / divisor) small.push_back(divisor);
  }
  large.insert(large.end(), small.rbegin(), small.rend());
  return large;
}

std::vector<std::int64_t> sensible_batches(const RunConfig& config) {
  std::vector<std::int64_t> batches = micro_batch_choices(config);
  if (batches.size() == 1) return batches;
  std::erase_if(batches, [&](std::int64_t batch) {
    return batch > 1 && batch > kEnoughTokens / config.data.sequence_length;
  });
  return batches;
}

std::vector<OptimizerState> states_of(OptimizerState state) {
  if (state != OptimizerState::automatic) return {state};
  return {std::begin(kOptimizerStates), std::end(kOptimizerStates)};
}

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
  return {std::begin(kOffloadSets), std::end(kOffloadSets)};
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

}  // namespace

PlanSpace open_choices(const RunConfig& config) {
  return {.batches = sensible_batches(config),
          .states = states_of(config.optimizer.state),
          .offloads = offload_sets(config.memory.offload),
          .level = level_of(config.memory.activations)};
}

std::vector<std::int64_t> micro_batch_choices(const RunConfig& config) {
  if (config.batch.micro_batch) return {*config.batch.micro_batch};
  const std::int64_t sequences =
      config.batch.tokens_per_step / (config.data.sequence_length * config.parallel.data_ranks());
  if (config.optimizer.update_in_backward) return {sequences};
  return divisors(sequences);
}

}  // namespace ingot

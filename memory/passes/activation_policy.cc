#include "memory/passes/activation_policy.h"

namespace ingot {
namespace {

// FLOP a byte freed: more than any element-wise op takes, less than any projection.
constexpr double kElementwise = 16;
// Between MLA's up-projections (1-3 kFLOP a byte at V3's shape) and attention (10).
constexpr double kCheapProjection = 4000;

double flops_to_repeat(const Program& program, const SavedActivation& activation) {
  double flops = 0;
  for (const std::size_t op : activation.recompute_ops) flops += program.ops()[op].flops;
  return flops;
}

}  // namespace

std::vector<Storage> storage_at(const Program& program, std::span<const SavedActivation> saved,
                                ActivationLevel level) {
  std::vector<Storage> storage(program.tensors().size(), Storage::keep);
  if (level == ActivationLevel::keep) return storage;
  for (const SavedActivation& activation : saved) {
    Storage& choice = storage[activation.tensor];
    const std::int64_t smallest =
        activation.int8_bytes > 0 ? activation.int8_bytes : activation.bytes;
    const double flops_per_byte =
        flops_to_repeat(program, activation) / static_cast<double>(smallest);
    const double limit = level == ActivationLevel::int8 ? kElementwise : kCheapProjection;
    // What is small is not worth an op, and the stream between attention and feed-forward costs
    // all of attention.
    const bool worth_it = level == ActivationLevel::recompute || activation.int8_bytes > 0;
    if (activation.recomputable && worth_it &&
        (level == ActivationLevel::recompute || flops_per_byte < limit)) {
      choice = Storage::recompute;
    } else if (activation.int8_bytes > 0) {
      choice = Storage::int8;
    }
  }
  return storage;
}

Storage cheapest_storage(const SavedActivation& activation, const StorageCosts& costs,
                         double price) {
  Storage best = Storage::keep;
  double least = price * static_cast<double>(activation.bytes);
  const auto consider = [&](Storage storage, double cost) {
    if (cost < least) {
      best = storage;
      least = cost;
    }
  };
  if (activation.int8_bytes > 0) {
    consider(Storage::int8,
             costs.int8_seconds + price * static_cast<double>(activation.int8_bytes));
  }
  if (activation.recomputable) consider(Storage::recompute, costs.recompute_seconds);
  return best;
}

}  // namespace ingot

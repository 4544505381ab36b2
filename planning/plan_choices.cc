#include "planning/plan_choices.h"

#include <algorithm>
#include <string>
#include <vector>

#include "memory/queue_times.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/quantize/quantize.h"

namespace ingot {
namespace {

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

}  // namespace

std::vector<std::int64_t> smaller_head_chunks(std::int64_t rows) {
  // Fewer leave the products too little to do for each weight they read.
  constexpr std::int64_t kLeast = 64;
  std::vector<std::int64_t> chunks;
  while ((rows /= 2) >= kLeast) chunks.push_back(rows);
  return chunks;
}

TrainingProgram compile_chosen(const RunConfig& config, const PlanChoices& choices,
                               const CostModel* costs) {
  RunConfig chosen = config;
  chosen.optimizer.state = choices.state;
  const std::int64_t head_chunk = config.memory.head_chunk.value_or(choices.head_chunk);
  TrainingProgram compiled = compile_training(chosen, {.batch = choices.micro_batch,
                                                       .storage = storage_chooser(choices, costs),
                                                       .offload = choices.offload,
                                                       .head_chunk = head_chunk,
                                                       .pack_weights = choices.pack_weights,
                                                       .fetch_ahead = choices.fetch_ahead});
  if (head_chunk == 0 && choices.dear_price > 0) {
    choose_head_chunk(compiled, *costs, choices.dear_price);
  }
  return compiled;
}

double step_seconds(const TrainingProgram& compiled, const CostModel& costs) {
  return queue_times(compiled.program, compiled.schedule, costs).seconds;
}

}  // namespace ingot

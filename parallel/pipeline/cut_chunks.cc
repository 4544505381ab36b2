#include "parallel/pipeline/cut_chunks.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace ingot {
namespace {

// Chunk c is what lies from its border on: forward begins with the first op of the chunk's layers,
// backward ends with the last one.
std::span<Op>::iterator forward_border(std::span<Op> forward, int layer) {
  return std::ranges::find_if(forward, [layer](const Op& op) { return op.layer >= layer; });
}

std::span<Op>::iterator backward_border(std::span<Op> backward, int layer) {
  const auto of_chunk = [layer](const Op& op) { return op.layer >= layer; };
  return std::find_if(backward.rbegin(), backward.rend(), of_chunk).base();
}

}  // namespace

void cut_into_chunks(Program& program, std::span<const int> first_layers) {
  if (first_layers.empty()) return;
  if (first_layers[0] <= 0 || !std::ranges::is_sorted(first_layers, std::less_equal<>())) {
    throw std::logic_error("chunks of layers begin in ascending order, behind layer 0");
  }
  const std::size_t count = program.ops(Part::micro_step).size();
  const std::span<Op> ops = program.ops().first(count);
  const auto turn = std::ranges::find(ops, Phase::backward, &Op::phase);
  const std::span<Op> forward(ops.begin(), turn), backward(turn, ops.end());

  auto begin = forward.begin();
  auto end = backward.end();
  for (int chunk = 0; chunk <= std::ssize(first_layers); ++chunk) {
    const bool is_last = chunk == std::ssize(first_layers);
    const auto next = is_last ? forward.end() : forward_border(forward, first_layers[chunk]);
    const auto from = is_last ? backward.begin() : backward_border(backward, first_layers[chunk]);
    if (next <= begin || from >= end) {
      throw std::logic_error("chunk " + std::to_string(chunk) + " has no layers");
    }
    for (; begin != next; ++begin) begin->part = {PartKind::forward, chunk};
    std::for_each(from, end, [chunk](Op& op) { op.part = {PartKind::backward, chunk}; });
    end = from;
  }
}

}  // namespace ingot

#include "memory/plan.h"

#include <algorithm>

#include "memory/lifetimes.h"
#include "memory/packing.h"

namespace ingot {
namespace {

constexpr std::size_t kLargestShown = 10;

void describe_peak(const Program& program, const Lifetimes& lives, MemoryPlan& plan) {
  std::vector<std::int64_t> change(program.ops().size() + 1, 0);
  for (const Buffer& buffer : lives.buffers) {
    change[buffer.first] += buffer.bytes;
    change[buffer.last + 1] -= buffer.bytes;
  }
  std::int64_t live = 0, most = -1;
  for (std::size_t op = 0; op + 1 < change.size(); ++op) {
    live += change[op];
    if (live > most) {
      most = live;
      plan.peak_op = op;
    }
  }
  const auto peak = static_cast<std::int64_t>(plan.peak_op);
  for (std::size_t i = 0; i < lives.buffers.size(); ++i) {
    const Buffer& buffer = lives.buffers[i];
    if (buffer.first > peak || buffer.last < peak) continue;
    const int id = lives.tensors[i];
    plan.by_role[static_cast<int>(program.tensors()[id].role)] += buffer.bytes;
    plan.largest.push_back(id);
  }
  std::stable_sort(plan.largest.begin(), plan.largest.end(), [&](int a, int b) {
    return program.tensors()[a].bytes() > program.tensors()[b].bytes();
  });
  if (plan.largest.size() > kLargestShown) plan.largest.resize(kLargestShown);
}

}  // namespace

MemoryPlan plan_memory(const Program& program, bool reuse) {
  Lifetimes lives = lifetimes(program);
  if (!reuse) {
    for (Buffer& buffer : lives.buffers) {
      buffer.first = 0;
      buffer.last = static_cast<std::int64_t>(program.ops().size()) - 1;
    }
  }
  const Packing packing = pack(lives.buffers);
  MemoryPlan plan;
  plan.offsets.assign(program.tensors().size(), -1);
  for (std::size_t i = 0; i < lives.tensors.size(); ++i) {
    plan.offsets[lives.tensors[i]] = packing.offsets[i];
  }
  plan.arena_bytes = packing.total_bytes;
  plan.lower_bound_bytes = packing.lower_bound_bytes;
  describe_peak(program, lives, plan);
  return plan;
}

}  // namespace ingot

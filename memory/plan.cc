#include "memory/plan.h"

#include <algorithm>

#include "memory/lifetimes.h"
#include "memory/packing/packing.h"
#include "memory/timeline.h"

namespace ingot {
namespace {

constexpr std::size_t kLargestShown = 10;
// Whole pages: what is let go of one tensor is not of another.
constexpr std::int64_t kOffloadAlignment = 4096;

void describe_peak(const Program& program, const Lifetimes& lives, MemoryPlan& plan) {
  std::vector<int> roles;
  for (const int id : lives.tensors) {
    roles.push_back(static_cast<int>(program.tensors()[id].role));
  }
  const Timeline timeline = make_timeline(lives.buffers, roles, kRoleCount,
                                          static_cast<std::int64_t>(program.ops().size()));
  plan.peak_op = static_cast<std::size_t>(timeline.peak_op);
  const auto at_peak = timeline.roles_at(timeline.peak_op);
  std::copy(at_peak.begin(), at_peak.end(), plan.by_role.begin());
  for (const std::size_t i : largest_live(lives.buffers, timeline.peak_op, kLargestShown)) {
    plan.largest.push_back(lives.tensors[i]);
  }
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
  for (std::size_t id = 0; id < plan.offsets.size(); ++id) {
    const TensorInfo& info = program.tensors()[id];
    if (info.place != Place::offload) continue;
    plan.offsets[id] = plan.offload_bytes;
    plan.offload_bytes += align_up(info.bytes(), kOffloadAlignment);
  }
  plan.lower_bound_bytes = packing.lower_bound_bytes;
  describe_peak(program, lives, plan);
  return plan;
}

std::int64_t least_arena_bytes(const Program& program) {
  return lower_bound(lifetimes(program).buffers);
}

}  // namespace ingot

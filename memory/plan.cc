#include "memory/plan.h"

#include <algorithm>

#include "engine/base/align.h"
#include "memory/frames.h"
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
  for (const BufferOwner owner : lives.owners) {
    roles.push_back(static_cast<int>(role_of(program, owner)));
  }
  const Timeline timeline = make_timeline(lives.buffers, roles, kRoleCount,
                                          static_cast<std::int64_t>(program.ops().size()));
  plan.peak_op = static_cast<std::size_t>(timeline.peak_op);
  const auto at_peak = timeline.roles_at(timeline.peak_op);
  std::copy(at_peak.begin(), at_peak.end(), plan.by_role.begin());
  for (const std::size_t i : largest_live(lives.buffers, timeline.peak_op, kLargestShown)) {
    plan.largest.push_back({lives.owners[i], lives.buffers[i].bytes});
  }
}

}  // namespace

MemoryPlan plan_memory(const Program& program, const BoundProgram& bound, const Schedule& schedule,
                       bool reuse) {
  Lifetimes lives = lifetimes(program, &bound, schedule);
  if (!reuse) {
    for (Buffer& buffer : lives.buffers) {
      buffer.first = 0;
      buffer.last = static_cast<std::int64_t>(program.ops().size()) - 1;
    }
  }
  const Packing packing = pack(lives.buffers);
  MemoryPlan plan;
  Placement& placement = plan.placement;
  placement.offsets.assign(program.tensors().size(), -1);
  placement.workspaces.assign(program.ops().size(), -1);
  for (std::size_t i = 0; i < lives.owners.size(); ++i) {
    const auto [tensor, op] = lives.owners[i];
    (tensor >= 0 ? placement.offsets[tensor] : placement.workspaces[op]) = packing.offsets[i];
  }
  FramePlan frames = plan_frames(program, bound, schedule);
  plan.frame_bytes = frames.bytes;
  placement.bytes[static_cast<int>(Place::arena)] = packing.total_bytes + frames.bytes;
  placement.frames = std::move(frames.frames);
  for (std::vector<std::int64_t>& block : placement.frames.places) {
    for (std::int64_t& place : block) place += packing.total_bytes;
  }
  for (std::size_t id = 0; id < frames.offsets.size(); ++id) {
    if (frames.offsets[id] >= 0) placement.offsets[id] = frames.offsets[id];
  }
  std::int64_t& offloaded = placement.bytes[static_cast<int>(Place::offload)];
  for (std::size_t id = 0; id < placement.offsets.size(); ++id) {
    if (program.tensors()[id].place != Place::offload) continue;
    placement.offsets[id] = offloaded;
    offloaded += align_up(bound.bytes(static_cast<int>(id)), kOffloadAlignment);
  }
  plan.lower_bound_bytes = packing.lower_bound_bytes + frames.lower_bound_bytes;
  describe_peak(program, lives, plan);
  plan.by_role[static_cast<int>(Role::activation)] += frames.bytes;
  return plan;
}

std::string shape_text(const Program& program, const MemoryPlan::Large& large) {
  const Shape shape =
      large.owner.tensor >= 0 ? program.tensors()[large.owner.tensor].shape : Shape{large.bytes};
  return std::string(name_of(dtype_of(program, large.owner))) + " " + shape.to_string();
}

std::int64_t least_arena_bytes(const Program& program, const BoundProgram& bound) {
  return lower_bound(lifetimes(program, &bound).buffers);
}

}  // namespace ingot

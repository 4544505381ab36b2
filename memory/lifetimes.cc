#include "memory/lifetimes.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

namespace ingot {
namespace {

using Interval = std::pair<std::int64_t, std::int64_t>;
constexpr Interval kNever{std::numeric_limits<std::int64_t>::max(), -1};

void extend(Interval& interval, const Interval& other) {
  interval.first = std::min(interval.first, other.first);
  interval.second = std::max(interval.second, other.second);
}

// When the parts run: from their first action to their last.
std::map<Part, Interval> times_of(std::span<const Action> schedule) {
  std::map<Part, Interval> times;
  for (std::size_t i = 0; i < schedule.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    extend(times.try_emplace(schedule[i].part, kNever).first->second, {at, at});
  }
  return times;
}

// All of these parts, and of every part that may run between two of them.
Interval hull(const std::set<Part>& used, const std::map<Part, Interval>& parts,
              const std::map<Part, Interval>& times) {
  Interval result = kNever, time = kNever;
  for (const Part part : used) {
    extend(result, parts.at(part));
    if (const auto found = times.find(part); found != times.end()) extend(time, found->second);
  }
  for (const auto& [part, when] : times) {
    if (when.first <= time.second && when.second >= time.first) extend(result, parts.at(part));
  }
  return result;
}

}  // namespace

Role role_of(const Program& program, BufferOwner owner) {
  return owner.tensor < 0 ? Role::workspace : program.tensors()[owner.tensor].role;
}

DType dtype_of(const Program& program, BufferOwner owner) {
  return owner.tensor < 0 ? DType::u8 : program.tensors()[owner.tensor].dtype;
}

std::string name_of(const Program& program, BufferOwner owner) {
  if (owner.tensor >= 0) return program.tensors()[owner.tensor].name;
  const Op& op = program.ops()[owner.op];
  return "workspace of " + op.name + " " + std::string(op.kind->name);
}

Lifetimes lifetimes(const Program& program, const BoundProgram* bound,
                    std::span<const Action> schedule) {
  const auto ops = program.ops();
  const auto count = static_cast<std::int64_t>(ops.size());
  std::map<Part, Interval> parts;
  std::vector<Interval> used(program.tensors().size(), kNever);
  std::map<int, std::set<Part>> used_in;  // of those that live for whole parts
  for (std::int64_t i = 0; i < count; ++i) {
    const Op& op = ops[i];
    extend(parts.try_emplace(op.part, kNever).first->second, {i, i});
    for_operands(op, [&](Tensor t) {
      extend(used[t.id], {i, i});
      if (program.info(t).lifetime == Lifetime::parts) used_in[t.id].insert(op.part);
    });
  }

  const std::map<Part, Interval> times = times_of(schedule);
  Lifetimes result;
  for (std::size_t id = 0; id < used.size(); ++id) {
    const TensorInfo& info = program.tensors()[id];
    if (info.place != Place::arena || info.lifetime == Lifetime::frame) continue;
    const auto tensor = static_cast<int>(id);
    Interval life = used[id];
    if (info.lifetime == Lifetime::persistent) {
      life = {0, std::max<std::int64_t>(count - 1, 0)};
    } else if (life == kNever) {
      continue;
    } else if (info.lifetime == Lifetime::parts) {
      life = hull(used_in.at(tensor), parts, times);
    }
    const std::int64_t bytes = bound != nullptr ? bound->bytes(tensor) : info.bytes();
    result.owners.push_back({.tensor = tensor});
    result.buffers.push_back(
        {.bytes = std::max<std::int64_t>(bytes, 1), .first = life.first, .last = life.second});
  }
  for (std::int64_t i = 0; bound != nullptr && i < count; ++i) {
    const std::int64_t bytes = bound->workspace_bytes(i);
    if (bytes == 0) continue;
    const auto ends = [&](const Op& op) { return op.kind == &kWait && op.ticket == ops[i].ticket; };
    const std::int64_t last =
        ops[i].queue == kCompute ? i : std::find_if(ops.begin(), ops.end(), ends) - ops.begin();
    result.owners.push_back({.op = static_cast<int>(i)});
    result.buffers.push_back({.bytes = bytes, .first = i, .last = last});
  }
  return result;
}

}  // namespace ingot

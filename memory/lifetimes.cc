#include "memory/lifetimes.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ingot {
namespace {

using Interval = std::pair<std::int64_t, std::int64_t>;

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

Lifetimes lifetimes(const Program& program, const BoundProgram* bound) {
  const auto ops = program.ops();
  const auto count = static_cast<std::int64_t>(ops.size());
  std::array<Interval, kPartCount> parts;
  parts.fill({count, -1});
  std::vector<Interval> used(program.tensors().size(), {count, -1});
  const auto extend = [](Interval& interval, std::int64_t op) {
    interval.first = std::min(interval.first, op);
    interval.second = std::max(interval.second, op);
  };
  for (std::int64_t i = 0; i < count; ++i) {
    const Op& op = ops[i];
    extend(parts[static_cast<int>(op.part)], i);
    for (const Tensor t : op.inputs) {
      if (t) extend(used[t.id], i);
    }
    for (const Tensor t : op.outputs) {
      if (t) extend(used[t.id], i);
    }
  }

  Lifetimes result;
  for (std::size_t id = 0; id < used.size(); ++id) {
    const TensorInfo& info = program.tensors()[id];
    if (info.place != Place::arena) continue;
    auto [first, last] = used[id];
    if (info.lifetime == Lifetime::persistent) {
      first = 0;
      last = std::max<std::int64_t>(count - 1, 0);
    } else if (last < 0) {
      continue;
    } else if (info.lifetime == Lifetime::parts) {
      first = parts[static_cast<int>(ops[first].part)].first;
      last = parts[static_cast<int>(ops[last].part)].second;
    }
    const auto tensor = static_cast<int>(id);
    const std::int64_t bytes = bound != nullptr ? bound->bytes(tensor) : info.bytes();
    result.owners.push_back({.tensor = tensor});
    result.buffers.push_back(
        {.bytes = std::max<std::int64_t>(bytes, 1), .first = first, .last = last});
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

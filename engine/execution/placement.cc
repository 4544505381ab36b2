#include "engine/execution/placement.h"

#include "engine/base/align.h"
#include "engine/execution/executor.h"

namespace ingot {

std::int64_t Placement::offset(int tensor, int micro_batch) const {
  const int block = frames.blocks.empty() ? -1 : frames.blocks[tensor];
  return offsets[tensor] + (block < 0 ? 0 : frames.places[block][micro_batch]);
}

Placement separate_places(const Program& program, const BoundProgram& bound, int micro_batches) {
  constexpr std::int64_t kAlignment = 256;
  Placement placement;
  const auto place = [&placement](Place where, std::int64_t bytes) {
    std::int64_t& end = placement.bytes[static_cast<int>(where)];
    const std::int64_t offset = end;
    end += align_up(bytes, kAlignment);
    return offset;
  };
  placement.frames.blocks.assign(program.tensors().size(), -1);
  for (std::size_t id = 0; id < program.tensors().size(); ++id) {
    const std::int64_t bytes = bound.bytes(static_cast<int>(id));
    if (program.tensors()[id].lifetime != Lifetime::frame) {
      placement.offsets.push_back(place(program.tensors()[id].place, bytes));
      continue;
    }
    placement.offsets.push_back(0);
    auto& places = placement.frames.places;
    placement.frames.blocks[id] = static_cast<int>(places.size());
    std::vector<std::int64_t>& of_tensor = places.emplace_back();
    for (int i = 0; i < micro_batches; ++i) of_tensor.push_back(place(Place::arena, bytes));
  }
  for (std::size_t op = 0; op < program.ops().size(); ++op) {
    const std::int64_t bytes = bound.workspace_bytes(op);
    placement.workspaces.push_back(bytes > 0 ? place(Place::arena, bytes) : -1);
  }
  return placement;
}

}  // namespace ingot

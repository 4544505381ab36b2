#include "engine/execution/placement.h"

#include "engine/base/align.h"
#include "engine/execution/executor.h"

namespace ingot {

std::int64_t Placement::offset(int tensor, int micro_batch) const {
  const int block = frames.blocks.empty() ? -1 : frames.blocks[tensor];
  return offsets[tensor] + (block < 0 ? 0 : frames.places[block][micro_batch]);
}

Placement separate_places(const Program& program, const BoundProgram& bound) {
  constexpr std::int64_t kAlignment = 256;
  Placement placement;
  const auto place = [&placement](Place where, std::int64_t bytes) {
    std::int64_t& end = placement.bytes[static_cast<int>(where)];
    const std::int64_t offset = end;
    end += align_up(bytes, kAlignment);
    return offset;
  };
  for (std::size_t id = 0; id < program.tensors().size(); ++id) {
    placement.offsets.push_back(
        place(program.tensors()[id].place, bound.bytes(static_cast<int>(id))));
  }
  for (std::size_t op = 0; op < program.ops().size(); ++op) {
    const std::int64_t bytes = bound.workspace_bytes(op);
    placement.workspaces.push_back(bytes > 0 ? place(Place::arena, bytes) : -1);
  }
  return placement;
}

}  // namespace ingot

#include "memory/frames.h"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <utility>

#include "engine/base/align.h"
#include "memory/packing/packing.h"

namespace ingot {
namespace {

constexpr std::int64_t kAlignment = 256;

bool is_of_micro_batch(PartKind kind) {
  return kind == PartKind::micro_step || kind == PartKind::forward || kind == PartKind::backward ||
         kind == PartKind::weight_gradients;
}

// When the parts run on each micro-batch: the index of the action.
class ActionTimes {
 public:
  explicit ActionTimes(std::span<const Action> schedule) {
    for (std::size_t i = 0; i < schedule.size(); ++i) {
      const auto [part, micro_batch] = schedule[i];
      times_[{part, micro_batch}] = static_cast<std::int64_t>(i);
      first_.try_emplace(micro_batch, part);
    }
  }

  std::int64_t at(Part part, int micro_batch) const {
    const auto found = times_.find({part, micro_batch});
    if (found == times_.end()) {
      throw std::logic_error(name_of(part) + " uses frames and is not in the schedule");
    }
    return found->second;
  }
  Part first(int micro_batch) const { return first_.at(micro_batch); }
  int micro_batches() const { return static_cast<int>(first_.size()); }

 private:
  std::map<std::pair<Part, int>, std::int64_t> times_;
  std::map<int, Part> first_;
};

// The parts that use each tensor of a frame first and last, on a micro-batch's way.
std::map<int, std::pair<Part, Part>> uses_of_frames(const Program& program,
                                                    const ActionTimes& times) {
  std::map<int, std::pair<Part, Part>> uses;
  const auto use = [&](Tensor t, Part part) {
    const TensorInfo& info = program.info(t);
    if (info.lifetime != Lifetime::frame || !is_of_micro_batch(part.kind)) return;
    const Part from = info.role == Role::input ? times.first(0) : part;
    const auto found = uses.try_emplace(t.id, from, part).first;
    auto& [first, last] = found->second;
    if (times.at(from, 0) < times.at(first, 0)) first = from;
    if (times.at(part, 0) > times.at(last, 0)) last = part;
  };
  for (const Op& op : program.ops()) {
    for_operands(op, [&](Tensor t) { use(t, op.part); });
  }
  return uses;
}

}  // namespace

void mark_frames(Program& program) {
  if (!program.ops(Part::micro_step).empty()) return;
  std::vector<std::set<Part>> parts(program.tensors().size());  // that use each tensor
  std::vector<bool> is_handed_on(parts.size(), false);          // from turn to turn
  for (const Op& op : program.ops()) {
    for_operands(op, [&](Tensor t) { parts[t.id].insert(op.part); });
    for (const Tensor t : op.outputs) {
      if (t && op.when != When::every) is_handed_on[t.id] = true;
    }
  }
  for (std::size_t id = 0; id < parts.size(); ++id) {
    TensorInfo& info = program.info(program.whole(static_cast<int>(id)));
    if (info.lifetime == Lifetime::persistent || is_handed_on[id]) continue;
    const auto of_micro_batch = [](Part part) { return is_of_micro_batch(part.kind); };
    const auto count = std::ranges::count_if(parts[id], of_micro_batch);
    const bool alone = count == std::ssize(parts[id]);
    if (info.role == Role::input ? count > 0 : count > 1 && alone) info.lifetime = Lifetime::frame;
  }
}

FramePlan plan_frames(const Program& program, const BoundProgram& bound,
                      std::span<const Action> schedule) {
  const auto is_of_frame = [](const TensorInfo& t) { return t.lifetime == Lifetime::frame; };
  if (std::ranges::none_of(program.tensors(), is_of_frame)) return {};

  FramePlan plan;
  plan.offsets.assign(program.tensors().size(), -1);
  plan.frames.blocks.assign(program.tensors().size(), -1);
  const ActionTimes times(schedule);
  std::map<std::pair<Part, Part>, int> block_of;
  std::vector<std::pair<Part, Part>> lives;  // by block
  std::vector<std::int64_t> sizes;           // by block
  for (const auto& [tensor, life] : uses_of_frames(program, times)) {
    const auto [found, is_new] = block_of.try_emplace(life, static_cast<int>(sizes.size()));
    if (is_new) {
      lives.push_back(life);
      sizes.push_back(0);
    }
    std::int64_t& size = sizes[found->second];
    plan.frames.blocks[tensor] = found->second;
    plan.offsets[tensor] = size;
    size += align_up(bound.bytes(tensor), kAlignment);
  }

  std::vector<Buffer> buffers;  // of each block all micro-batches
  for (std::size_t block = 0; block < sizes.size(); ++block) {
    for (int i = 0; i < times.micro_batches(); ++i) {
      buffers.push_back({.bytes = sizes[block],
                         .first = times.at(lives[block].first, i),
                         .last = times.at(lives[block].second, i)});
    }
  }
  const Packing packing = pack(buffers);
  plan.bytes = packing.total_bytes;
  plan.lower_bound_bytes = packing.lower_bound_bytes;
  auto offset = packing.offsets.begin();
  for (std::size_t block = 0; block < sizes.size(); ++block) {
    plan.frames.places.emplace_back(offset, offset + times.micro_batches());
    offset += times.micro_batches();
  }
  return plan;
}

}  // namespace ingot

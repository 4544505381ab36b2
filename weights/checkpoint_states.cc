#include "weights/checkpoint_states.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/error.h"
#include "weights/manifest.h"

namespace ingot {
namespace {

[[noreturn]] void refuse(const CheckpointReader& reader, const std::string& what) {
  throw Error(ErrorCode::data, what, manifest_path(reader), "use another checkpoint");
}

// An array of one to four whole numbers; none: it is something else.
std::optional<std::vector<std::int64_t>> numbers(const nlohmann::json& value, const char* key) {
  const auto found = value.find(key);
  if (found == value.end() || !found->is_array() || found->empty() || found->size() > 4) return {};
  std::vector<std::int64_t> list;
  for (const nlohmann::json& number : *found) {
    if (!number.is_number_integer()) return {};
    list.push_back(number.get<std::int64_t>());
  }
  return list;
}

bool inside(const Box& box, const Shape& whole) {
  if (box.shape.rank() != whole.rank()) return false;
  for (int axis = 0; axis < whole.rank(); ++axis) {
    if (box.first[axis] < 0 || box.first[axis] > whole[axis] - box.shape[axis]) return false;
  }
  return true;
}

// Whether the groups of codes in what two boxes share begin and end alike.
bool groups_agree(const Box& common, const Box& box) {
  const int axis = box.shape.rank() - 1;
  const std::int64_t begin = common.first[axis] - box.first[axis];
  const std::int64_t end = begin + common.shape[axis];
  return begin % kStateGroup == 0 && (end % kStateGroup == 0 || end == box.shape[axis]);
}

// Where the numbers beside a point's group begin in a box's extra.
std::int64_t extra_at(const Box& box, StateForm form, const Point& point) {
  const StateExtra& extra = *extra_of(form);
  const std::int64_t element = element_at(box, point);
  if (extra.per_group == 0) return element * size_of(extra.dtype);
  const StateLayout layout{box.shape.rows(), box.shape.last()};
  const std::int64_t row = element / layout.columns, column = element % layout.columns;
  const std::int64_t group = row * layout.groups_per_row() + column / kStateGroup;
  return group * extra.per_group * size_of(extra.dtype);
}

}  // namespace

CheckpointStates::CheckpointStates(const CheckpointReader& reader) : reader_(reader) {
  const nlohmann::json manifest = read_manifest(reader);
  const auto blocks = manifest.find("blocks");
  if (blocks == manifest.end()) return;
  if (!blocks->is_object()) refuse(reader, "'blocks' is no object");
  for (const auto& [name, value] : blocks->items()) {
    const auto tensor = value.is_object() ? value.find("tensor") : value.end();
    if (tensor == value.end() || !tensor->is_string()) {
      refuse(reader, "block '" + name + "' names no tensor");
    }
    const auto whole = numbers(value, "whole"), first = numbers(value, "first");
    if (!whole || !first || whole->size() != first->size()) {
      refuse(reader, "block '" + name + "' has no \"whole\" and \"first\" of like length");
    }
    if (!checked_product(*whole)) refuse(reader, "the whole of block '" + name + "' is no shape");
    Block block{.name = name, .whole = *shape_of(*whole)};
    std::copy(first->begin(), first->end(), block.first.begin());
    blocks_[tensor->get<std::string>()].push_back(std::move(block));
  }
}

bool CheckpointStates::has(const std::string& name) const {
  return blocks_.count(name) > 0 || reader_.find(name) != nullptr;
}

CheckpointState CheckpointStates::at(const std::string& name) const {
  const auto found = blocks_.find(name);
  if (found == blocks_.end()) {
    const StoredBlock all = find_block(reader_, name);
    return {all.box.shape, {all}};
  }
  CheckpointState state{.whole = found->second.front().whole};
  std::int64_t left = state.whole.elements();
  for (const Block& block : found->second) {
    state.blocks.push_back(find_block(reader_, block.name, block.first));
    const Box& box = state.blocks.back().box;
    if (block.whole != state.whole || !inside(box, state.whole)) {
      refuse(reader_, "block '" + block.name + "' does not fit into '" + name + "'");
    }
    left -= box.shape.elements();
  }
  for (std::size_t i = 0; i < state.blocks.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      const Box common = intersection(state.blocks[i].box, state.blocks[k].box);
      if (common.shape.elements() > 0) refuse(reader_, "blocks of '" + name + "' overlap");
    }
  }
  if (left != 0) refuse(reader_, "blocks of '" + name + "' are missing");
  return state;
}

void read_part(const CheckpointState& state, const WeightPart& part, std::span<float> values) {
  for (const StoredBlock& block : state.blocks) {
    read_common(block.box, part, values,
                [&](std::int64_t first, std::int64_t end, std::span<float> rows) {
                  read_rows(block, {first, end}, rows);
                });
  }
}

bool read_raw(const CheckpointState& state, StateForm form, const WeightPart& part,
              std::span<std::byte> values, std::span<std::byte> extra) {
  const Box to = box_of(part);
  const StateExtra& beside = *extra_of(form);
  for (const StoredBlock& block : state.blocks) {
    const Box common = intersection(block.box, to);
    if (common.shape.elements() == 0) continue;
    if (block.form != form) return false;
    if (beside.per_group > 0 && !(groups_agree(common, block.box) && groups_agree(common, to))) {
      return false;
    }
    copy_common(block.box, block.values->bytes, to, values, size_of(value_dtype(form)));
    const std::int64_t bytes = StateLayout{1, common.shape.last()}.extra_bytes(form);
    for_lines(common, [&](const Point& point) {
      std::copy_n(block.extra->bytes.begin() + extra_at(block.box, form, point), bytes,
                  extra.begin() + extra_at(to, form, point));
    });
  }
  return true;
}

void release(const CheckpointReader& reader, const CheckpointState& state) {
  for (const StoredBlock& block : state.blocks) {
    reader.release(*block.values);
    if (block.extra != nullptr) reader.release(*block.extra);
  }
}

}  // namespace ingot

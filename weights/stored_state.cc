#include "weights/stored_state.h"

#include <algorithm>

#include "engine/base/error.h"

namespace ingot {
namespace {

std::string extra_name(const std::string& name, const StateExtra& extra) {
  return name + "." + std::string(extra.name);
}

StateLayout layout_of_shape(const std::vector<std::int64_t>& shape) {
  StateLayout layout{1, shape.empty() ? 1 : shape.back()};
  for (std::size_t axis = 0; axis + 1 < shape.size(); ++axis) layout.rows *= shape[axis];
  return layout;
}

// The form that values of that type have, by what lies beside them.
std::optional<StateForm> form_of(const CheckpointReader& reader, const std::string& name,
                                 StoredType type) {
  std::optional<StateForm> found;
  for (int index = 0; index < kStateFormCount; ++index) {
    const auto form = static_cast<StateForm>(index);
    if (stored_type_of(value_dtype(form)) != type) continue;
    const StateExtra* extra = extra_of(form);
    if (!found || (extra != nullptr && reader.find(extra_name(name, *extra)) != nullptr)) {
      found = form;
    }
  }
  return found;
}

}  // namespace

StateDeclarations declare_state(const std::string& name, StateForm form,
                                const std::vector<std::int64_t>& shape) {
  StateDeclarations declared{.values = {name, stored_type_of(value_dtype(form)), shape}};
  if (const StateExtra* extra = extra_of(form)) {
    declared.extra = {extra_name(name, *extra), stored_type_of(extra->dtype), shape};
    if (extra->per_group > 0) {
      const StateLayout layout = layout_of_shape(shape);
      declared.extra->shape = {layout.rows, layout.groups_per_row() * extra->per_group};
    }
  }
  return declared;
}

std::optional<Shape> shape_of(const std::vector<std::int64_t>& dims) {
  switch (dims.size()) {
    case 1:
      return Shape{dims[0]};
    case 2:
      return Shape{dims[0], dims[1]};
    case 3:
      return Shape{dims[0], dims[1], dims[2]};
    case 4:
      return Shape{dims[0], dims[1], dims[2], dims[3]};
    default:
      return {};
  }
}

std::vector<std::int64_t> dims_of(const Shape& shape) {
  std::vector<std::int64_t> dims;
  for (int axis = 0; axis < shape.rank(); ++axis) dims.push_back(shape[axis]);
  return dims;
}

StoredBlock find_block(const CheckpointReader& reader, const std::string& name, Point first) {
  StoredBlock block{.values = &reader.at(name)};
  const auto form = form_of(reader, name, block.values->type);
  const auto shape = shape_of(block.values->shape);
  if (!form || !shape) {
    throw Error(ErrorCode::data, "'" + name + "' is " + describe(*block.values),
                reader.path().string(), "use a checkpoint that ingot wrote");
  }
  block.form = *form;
  block.box = {first, *shape};
  const StateDeclarations wanted = declare_state(name, block.form, block.values->shape);
  if (!wanted.extra) return block;
  block.extra = &reader.at(wanted.extra->name);
  if (block.extra->type != wanted.extra->type || block.extra->shape != wanted.extra->shape) {
    throw Error(ErrorCode::data,
                "'" + wanted.extra->name + "' is " + describe(*block.extra) + ", its codes need " +
                    describe(*wanted.extra),
                reader.path().string(), "use another checkpoint");
  }
  return block;
}

void read_rows(const StoredBlock& block, RowRange rows, std::span<float> values) {
  if (block.extra == nullptr) {
    read_rows(StoredTensor{.values = block.values}, rows, DType::f32,
              std::as_writable_bytes(values));
    return;
  }
  const StateLayout all = block.layout();
  if (block.box.shape.rank() == 1) {  // a row of codes has no beginning but its own
    std::vector<float> row(all.columns);
    decode_state(block.form, all, block.values->bytes.data(), block.extra->bytes.data(), row);
    std::copy_n(row.begin() + rows.begin, rows.end - rows.begin, values.begin());
    return;
  }
  // Indices of the first axis; of more than two axes each holds several rows of the layout.
  const std::int64_t lines = all.rows / std::max<std::int64_t>(1, block.box.shape[0]);
  const StateLayout layout{(rows.end - rows.begin) * lines, all.columns};
  const std::int64_t first = rows.begin * lines;
  decode_state(block.form, layout,
               block.values->bytes.data() + first * layout.value_bytes(block.form),
               block.extra->bytes.data() + first * layout.extra_bytes(block.form), values);
}

}  // namespace ingot

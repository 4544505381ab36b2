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

StateLayout StoredState::layout() const { return layout_of_shape(values->shape); }

StoredState find_state(const CheckpointReader& reader, const std::string& name) {
  StoredState state{.values = &reader.at(name)};
  const auto form = form_of(reader, name, state.values->type);
  if (!form) {
    throw Error(ErrorCode::data, "'" + name + "' is " + describe(*state.values),
                reader.path().string(), "use a checkpoint that ingot wrote");
  }
  state.form = *form;
  const StateDeclarations wanted = declare_state(name, state.form, state.values->shape);
  if (!wanted.extra) return state;
  state.extra = &reader.at(wanted.extra->name);
  if (state.extra->type != wanted.extra->type || state.extra->shape != wanted.extra->shape) {
    throw Error(ErrorCode::data,
                "'" + wanted.extra->name + "' is " + describe(*state.extra) + ", its codes need " +
                    describe(*wanted.extra),
                reader.path().string(), "use another checkpoint");
  }
  return state;
}

void read_rows(const StoredState& state, RowRange rows, std::span<float> values) {
  if (state.extra == nullptr) {
    read_rows(StoredTensor{.values = state.values}, rows, DType::f32,
              std::as_writable_bytes(values));
    return;
  }
  // Rows of the first axis; of more than two axes each holds several of the layout.
  const StateLayout all = state.layout();
  const std::int64_t lines = all.rows / std::max<std::int64_t>(1, rows_of(*state.values));
  const StateLayout layout{(rows.end - rows.begin) * lines, all.columns};
  const std::int64_t first = rows.begin * lines;
  decode_state(state.form, layout,
               state.values->bytes.data() + first * layout.value_bytes(state.form),
               state.extra->bytes.data() + first * layout.extra_bytes(state.form), values);
}

}  // namespace ingot

#include "engine/stored_state.h"

#include <algorithm>

#include "engine/error.h"

namespace ingot {
namespace {

const char* extra_suffix(StateForm form) {
  switch (form) {
    case StateForm::bf16_residual:
      return ".residual";
    case StateForm::int8:
    case StateForm::dynamic8:
      return ".scale";
    case StateForm::log8:
      return ".bounds";
    default:
      return "";
  }
}

StoredType value_type(StateForm form) {
  switch (form) {
    case StateForm::f32:
      return StoredType::f32;
    case StateForm::bf16:
    case StateForm::bf16_residual:
      return StoredType::bf16;
    case StateForm::f16:
      return StoredType::f16;
    case StateForm::int8:
      return StoredType::i8;
    case StateForm::dynamic8:
    case StateForm::log8:
      return StoredType::u8;
  }
  return StoredType::f32;
}

StateLayout layout_of_shape(const std::vector<std::int64_t>& shape) {
  StateLayout layout{1, shape.empty() ? 1 : shape.back()};
  for (std::size_t axis = 0; axis + 1 < shape.size(); ++axis) layout.rows *= shape[axis];
  return layout;
}

// The form that values of that type have, by what lies beside them.
std::optional<StateForm> form_of(const CheckpointReader& reader, const std::string& name,
                                 StoredType type) {
  const auto has = [&](StateForm form) {
    return reader.find(name + extra_suffix(form)) != nullptr;
  };
  switch (type) {
    case StoredType::bf16:
      return has(StateForm::bf16_residual) ? StateForm::bf16_residual : StateForm::bf16;
    case StoredType::f16:
      return StateForm::f16;
    case StoredType::i8:
      return StateForm::int8;
    case StoredType::u8:
      return has(StateForm::log8) ? StateForm::log8 : StateForm::dynamic8;
    case StoredType::f32:
      return StateForm::f32;
    default:
      return std::nullopt;
  }
}

}  // namespace

StateDeclarations declare_state(const std::string& name, StateForm form,
                                const std::vector<std::int64_t>& shape) {
  StateDeclarations declared{.values = {name, value_type(form), shape}};
  const StateLayout layout = layout_of_shape(shape);
  const std::string extra = name + extra_suffix(form);
  if (form == StateForm::bf16_residual) {
    declared.extra = {extra, StoredType::i8, shape};
  } else if (form == StateForm::log8) {
    declared.extra = {extra, StoredType::i8, {layout.rows, 2 * layout.groups_per_row()}};
  } else if (form == StateForm::int8 || form == StateForm::dynamic8) {
    declared.extra = {extra, StoredType::f32, {layout.rows, layout.groups_per_row()}};
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

#include "layers/builder.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "ops/rope/rope_table.h"

namespace ingot {
namespace {

RopeFrequencies rope_frequencies_of(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  RopeFrequencies frequencies{
      .half = config.head_dim / 2,
      .base = rope.rope_theta,
      .factor = rope.factor,
      .original_positions = static_cast<double>(rope.original_max_position_embeddings),
      .low_frequency_factor = rope.low_freq_factor,
      .high_frequency_factor = rope.high_freq_factor,
      .beta_fast = rope.beta_fast,
      .beta_slow = rope.beta_slow,
      .truncate = rope.truncate,
      .mscale = rope.mscale,
      .mscale_all_dim = rope.mscale_all_dim,
      .attention_factor = rope.attention_factor.value_or(0)};
  switch (rope.rope_type) {
    case RopeType::plain:
      break;
    case RopeType::linear:
      frequencies.scaling = RopeScaling::linear;
      break;
    case RopeType::llama3:
      frequencies.scaling = RopeScaling::llama3;
      break;
    case RopeType::yarn:
      frequencies.scaling = RopeScaling::yarn;
      break;
  }
  return frequencies;
}

}  // namespace

Builder::Builder(Program& program, const ModelConfig& config, BuildOptions options)
    : program(program), config(config), options(options) {
  const RopeFrequencies frequencies = rope_frequencies_of(config);
  softmax_scale = 1 / std::sqrt(static_cast<double>(config.query_key_dim()));
  if (config.mla) softmax_scale *= rope_softmax_factor(frequencies);
  const std::int64_t count = options.capacity > 0 ? options.capacity : options.sequence;
  const std::string table_name = "rope_table." + std::to_string(count);
  rope_table = program.find(table_name);
  if (!rope_table) {
    const std::vector<float> table = ::ingot::rope_table(frequencies, count);
    rope_table = program.constant(table_name, {count, config.head_dim}, DType::f32,
                                  std::as_bytes(std::span(table)));
  }
  if (options.capacity > 0) return;
  const std::string positions_name =
      "positions." + std::to_string(options.batch) + "x" + std::to_string(count);
  positions = program.find(positions_name);
  if (!positions) {
    std::vector<std::int32_t> values;
    for (std::int64_t i = 0; i < options.batch * count; ++i) {
      values.push_back(static_cast<std::int32_t>(i % count));
    }
    positions = program.constant(positions_name, {options.batch * count, 1}, DType::i32,
                                 std::as_bytes(std::span(values)));
  }
}

std::string Builder::checkpoint_name(std::string_view name) const {
  std::string_view scope = program.scope();
  const std::string& set = program.sets()[options.set].name;
  if (!set.empty()) scope.remove_prefix(std::min(scope.size(), set.size() + 1));
  return "model." + (scope.empty() ? "" : std::string(scope) + ".") + std::string(name);
}

Tensor Builder::state(std::string_view name, Shape shape, DType dtype, Role role,
                      Lifetime lifetime) {
  const std::string& scope = program.scope();
  const std::string full = scope.empty() ? std::string(name) : scope + "." + std::string(name);
  if (const Tensor found = program.find(full)) return found;
  return program.add_tensor({.name = std::string(name),
                             .shape = shape,
                             .dtype = dtype,
                             .role = role,
                             .lifetime = lifetime});
}

Tensor Builder::find_or_add(const std::string& name, Shape shape, DType dtype, Kind kind,
                            double init_value, std::vector<WeightPart> parts,
                            Learning unless_frozen) {
  const std::string& scope = program.scope();
  if (const Tensor found = program.find(scope.empty() ? name : scope + "." + name)) return found;
  Weight weight{.shape = shape};
  weight.compute = program.persistent(name, shape, dtype, Role::weight);
  weight.name = program.info(weight.compute).name;
  weight.value = {.form = plain_form(dtype), .values = weight.compute};
  weight.set = options.set;
  weight.learning = options.learning ? options.learning(weight.name) : Learning::frozen;
  if (weight.learning != Learning::frozen) weight.learning = unless_frozen;
  if (weight.learning == Learning::gradient) {
    add_trained(weight, name, shape, kind == Kind::matrix ? options.master : StateForm::f32);
  }
  weight.parts = std::move(parts);
  weight.init_std = kind == Kind::vector ? 0 : config.initializer_range;
  weight.init_value = init_value;
  weight.decayed = kind != Kind::vector;
  return program.add_weight(std::move(weight)).compute;
}

// What training keeps beside a weight.
void Builder::add_trained(Weight& weight, const std::string& name, Shape shape, StateForm master) {
  if (master == StateForm::int8) {
    program.info(weight.compute).lifetime = Lifetime::transient;
    weight.value = add_state(program, name + " codes", shape, StateForm::int8, Role::weight);
  } else if (master == StateForm::bf16_residual) {
    weight.value.form = StateForm::bf16_residual;
    weight.value.extra = program.persistent(name + " residual", shape, DType::i8, Role::master);
  } else if (master == StateForm::f32 && program.dtype(weight.compute) != DType::f32) {
    weight.value = add_state(program, name + " master", shape, StateForm::f32, Role::master);
  }
  weight.gradient = add_state(program, name + " gradient", shape, StateForm::f32, Role::gradient);
}

namespace {

// "q_proj+k_proj+v_proj"
std::string joined(const std::vector<MatrixRows>& rows) {
  std::string name;
  for (const MatrixRows& part : rows) {
    if (!name.empty()) name += '+';
    name += part.name;
  }
  return name;
}

std::int64_t total_rows(const std::vector<MatrixRows>& rows) {
  std::int64_t total = 0;
  for (const MatrixRows& part : rows) total += part.rows;
  return total;
}

}  // namespace

Tensor Builder::matrix(const std::vector<MatrixRows>& rows, std::int64_t columns) {
  std::vector<WeightPart> parts;
  std::int64_t first = 0;
  for (const MatrixRows& part : rows) {
    parts.push_back({checkpoint_name(std::string(part.name) + ".weight"),
                     first * columns,
                     {part.rows, columns}});
    first += part.rows;
  }
  return find_or_add(joined(rows), {total_rows(rows), columns}, options.dtype, Kind::matrix, 0,
                     std::move(parts));
}

Tensor Builder::bias(const std::vector<MatrixRows>& rows) {
  std::vector<WeightPart> parts;
  std::int64_t first = 0;
  for (const MatrixRows& part : rows) {
    parts.push_back({checkpoint_name(std::string(part.name) + ".bias"), first, {part.rows}});
    first += part.rows;
  }
  return find_or_add(joined(rows) + " bias", {total_rows(rows)}, DType::f32, Kind::vector, 0,
                     std::move(parts));
}

Tensor Builder::gain(std::string_view name, std::int64_t size) {
  return find_or_add(std::string(name), {size}, DType::f32, Kind::vector, 1,
                     {{checkpoint_name(std::string(name) + ".weight"), 0, {size}}});
}

Tensor Builder::router(std::int64_t experts, std::int64_t hidden_size) {
  // Logits are computed in fp32 (DeepSeek-V3), so the router needs no copy in lower precision.
  return find_or_add("gate", {experts, hidden_size}, DType::f32, Kind::precise_matrix, 0,
                     {{checkpoint_name("gate.weight"), 0, {experts, hidden_size}}});
}

Tensor Builder::selection_bias(std::int64_t experts) {
  return find_or_add("gate.e_score_correction_bias", {experts}, DType::f32, Kind::vector, 0,
                     {{checkpoint_name("gate.e_score_correction_bias"), 0, {experts}}},
                     Learning::rule);
}

Tensor Builder::experts(const std::vector<MatrixRows>& rows, std::int64_t experts,
                        std::int64_t columns) {
  const std::int64_t height = total_rows(rows);
  std::vector<WeightPart> parts;
  for (std::int64_t expert = 0; expert < experts; ++expert) {
    std::int64_t first = expert * height;
    for (const MatrixRows& part : rows) {
      const std::string name = "experts." + std::to_string(expert) + "." + std::string(part.name);
      parts.push_back({checkpoint_name(name + ".weight"), first * columns, {part.rows, columns}});
      first += part.rows;
    }
  }
  return find_or_add("experts." + joined(rows), {experts, height, columns}, options.dtype,
                     Kind::matrix, 0, std::move(parts));
}

Tensor Builder::embedding_table(std::string_view name) {
  const Shape shape{config.vocab_size, config.hidden_size};
  const std::string checkpoint =
      name == "lm_head" ? "lm_head.weight" : "model." + std::string(name) + ".weight";
  // At the top of the program, whatever the layer that first asks for it.
  const At top(program, Cursor{.part = program.part(),
                               .phase = program.phase(),
                               .scope = program.sets()[options.set].name});
  return find_or_add(std::string(name), shape, options.dtype, Kind::matrix, 0,
                     {{checkpoint, 0, shape}});
}

}  // namespace ingot

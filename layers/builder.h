// What layer functions work with: the program they append to, the model's config, and its weights
// by their Hugging Face names. Layers are functions from tensors to tensors and read like the
// papers.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/model_config.h"
#include "engine/program/program.h"
#include "ops/router/router.h"
#include "ops/state_forms/state_forms.h"

namespace ingot {

struct BuildOptions {
  std::int64_t batch = 1;             // sequences
  std::int64_t sequence = 1;          // tokens of each, at a time
  DType dtype = DType::f32;           // of matrices and activations
  StateForm master = StateForm::f32;  // of matrices: f32, bf16, bf16_residual or int8
  std::int64_t capacity = 0;          // generation: tokens the key/value cache holds; 0: no cache
  std::int64_t cached_sequences = 0;  // of which it holds them, the first `batch` of which are read
  BalanceLoss balance = BalanceLoss::none;  // of the routers, in training
  // Which weights learn, by their names in the program ("layers.7.mlp.down_proj"): those that do
  // have a gradient, and a master where dtype is not fp32. None: all are frozen.
  std::function<Learning(std::string_view weight)> learning;
  int set = 0;  // that new weights belong to; what is appended has the set's name as outer scope
};
inline Learning learn_everything(std::string_view) { return Learning::gradient; }

// Rows of one fused matrix that are a tensor of their own in checkpoints.
struct MatrixRows {
  std::string_view name;  // within the scope, e.g. "q_proj"; ".weight" or ".bias" is added
  std::int64_t rows;
};

class Builder {
 public:
  // Makes the rotary table (for all positions of the cache, if there is one) and, without a cache,
  // the positions of a batch of whole sequences; with one the caller sets `positions`.
  Builder(Program& program, const ModelConfig& config, BuildOptions options);

  Program& program;
  const ModelConfig& config;
  BuildOptions options;
  Tensor positions;          // [tokens] i32: place of each token in its sequence
  Tensor rope_table;         // [positions, rotary channels] f32
  double softmax_scale = 1;  // of the attention scores, YaRN's factor included

  std::int64_t tokens() const { return options.batch * options.sequence; }

  // Weights are made at first use and found again by later parts of the program. Names are those of
  // checkpoints: the scope with "model." in front.
  // Matrices that are multiplied with the same input lie under one another, in one tensor.
  Tensor matrix(const std::vector<MatrixRows>& rows, std::int64_t columns);
  Tensor bias(const std::vector<MatrixRows>& rows);               // f32, zeros
  Tensor gain(std::string_view name, std::int64_t size);          // f32, ones: of a norm
  Tensor router(std::int64_t experts, std::int64_t hidden_size);  // f32 "gate.weight"
  Tensor selection_bias(std::int64_t experts);                    // f32, learns by rule if at all
  // [experts, rows, columns]: part i of expert e is "experts.e.NAME.weight".
  Tensor experts(const std::vector<MatrixRows>& rows, std::int64_t experts, std::int64_t columns);
  Tensor embedding_table(std::string_view name);  // [vocab_size, hidden_size]

  // A persistent or part-wide tensor found by name, made zero-filled at first use.
  Tensor state(std::string_view name, Shape shape, DType dtype, Role role, Lifetime lifetime);

 private:
  enum class Kind { matrix, precise_matrix, vector };  // precise: always fp32
  Tensor find_or_add(const std::string& name, Shape shape, DType dtype, Kind kind,
                     double init_value, std::vector<WeightPart> parts,
                     Learning unless_frozen = Learning::gradient);
  void add_trained(Weight& weight, const std::string& name, Shape shape, StateForm master);
  std::string checkpoint_name(std::string_view name) const;
};

}  // namespace ingot

// A Program: the ordered list of ops that one training run consists of, on tensors of known shape,
// dtype and role. Nothing here owns memory or runs; see engine/execution/executor.h for that.
//
// One Program holds every part of a run (micro-step, update, evaluation, generation) one after the
// other, so that lifetimes, and with them the arena, are planned for all of them at once.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/numbers/dtype.h"
#include "engine/program/tensor.h"
#include "engine/program/weight.h"

namespace ingot {

struct OpKind;

enum class Role : std::uint8_t {
  weight,           // what forward reads, in compute precision
  master,           // the weight in full precision, when that is another tensor
  gradient,         // summed over the micro-steps of an update
  optimizer_state,  // moments, step counters, routing bias counts
  activation,       // made by one op for others, gradients of activations too
  workspace,        // alive during one op
  communication,    // message buffers
  input,            // tokens, positions and tables, filled from outside the program
  output,           // losses, norms, logits: read from outside
};
constexpr int kRoleCount = 9;
std::string_view name_of(Role role);

enum class Phase : std::uint8_t { forward, backward, update };
std::string_view name_of(Phase phase);

// The parts that are run as a unit, in this order on the program's time line.
enum class Part : std::uint8_t { micro_step, update, evaluation, prefill, decode };
constexpr int kPartCount = 5;
std::string_view name_of(Part part);

// How long a tensor keeps its place in the arena.
enum class Lifetime : std::uint8_t {
  transient,  // from the first op that writes it to the last that uses it
  parts,      // all of every part that uses it, and what lies between: read or written from outside
  persistent,  // from before the first op to after the last
};

// Which memory a tensor lives in.
enum class Place : std::uint8_t {
  arena,
  offload,  // the second one (memory/passes/offload.h); only persistent tensors
};
constexpr int kPlaceCount = 2;

// How an activation that backward needs may be kept until then (memory/passes/saved_activations.h).
enum class Saving : std::uint8_t {
  any,         // as it is, in 8 bits, or not at all: computed again
  exact,       // not in fewer bits: the residual stream, and what is small
  checkpoint,  // as it is: what other activations are computed again from
};

// What a tensor is.
struct TensorInfo {
  std::string name;
  Shape shape;
  DType dtype = DType::f32;
  Role role = Role::activation;
  Lifetime lifetime = Lifetime::transient;
  int layer = -1;
  Saving saving = Saving::any;
  Place place = Place::arena;

  std::int64_t bytes() const { return shape.elements() * size_of(dtype); }
};

// Small named numbers that a kernel reads when it is made.
class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<std::string_view, double>> values);

  bool has(std::string_view name) const;
  double real(std::string_view name) const;           // throws std::logic_error if absent
  std::int64_t integer(std::string_view name) const;  // exact up to 2^53
  bool flag(std::string_view name) const { return has(name) && real(name) != 0; }
  void set(std::string_view name, double value);
  std::span<const std::pair<std::string, double>> values() const { return values_; }

 private:
  std::vector<std::pair<std::string, double>> values_;
};

// One step of a program. An optional input that is not given is a Tensor without id.
struct Op {
  const OpKind* kind = nullptr;
  std::vector<Tensor> inputs, outputs;
  Attributes attributes;
  std::string name;  // scope, e.g. "layers.7.mlp.down_proj"
  Phase phase = Phase::forward;
  Part part = Part::micro_step;
  int layer = -1;
  double flops = 0;  // of this op, 2 per multiply-add
  double bytes = 0;  // that must move at least
};

struct Cost {
  double flops = 0, bytes = 0;
};

class Gradients;

// What all ops of one kind have in common. Each ops/ folder defines its kinds and functions that
// check shapes and append them; kernels are found by `name` in a backend's table.
struct OpKind {
  std::string_view name;
  // Appends the ops that turn gradients of the outputs into gradients of the inputs. Null: no
  // gradient flows through this op.
  void (*gradient)(Gradients&, const Op&) = nullptr;
  // Arithmetic and least memory traffic. Null: no arithmetic, every operand moves once.
  Cost (*cost)(const class Program&, const Op&) = nullptr;
  // The op's gradient op does the forward work too (the fused head): autodiff then drops the op.
  bool forward_in_gradient = false;
  // Running the op twice is not the same as running it once (the router counts its loads).
  bool stateful = false;
};

class Program {
 public:
  // --- tensors
  Tensor add_tensor(TensorInfo info);
  // The same without the scope before its name, for a tensor named after another one.
  Tensor add_tensor_as_named(TensorInfo info);
  Tensor activation(std::string_view name, Shape shape, DType dtype);
  Tensor persistent(std::string_view name, Shape shape, DType dtype, Role role);
  const TensorInfo& info(Tensor t) const { return tensors_[t.id]; }
  TensorInfo& info(Tensor t) { return tensors_[t.id]; }
  Tensor whole(int id) const { return {id, 0, tensors_[id].shape.last()}; }
  std::span<const TensorInfo> tensors() const { return tensors_; }
  DType dtype(Tensor t) const { return tensors_[t.id].dtype; }
  std::int64_t rows(Tensor t) const { return tensors_[t.id].shape.rows(); }
  std::int64_t row_stride(Tensor t) const { return tensors_[t.id].shape.last(); }
  bool is_whole(Tensor t) const { return t.columns == tensors_[t.id].shape.last(); }
  // A persistent tensor whose values are known now; the executor writes them before the first run.
  Tensor constant(std::string_view name, Shape shape, DType dtype,
                  std::span<const std::byte> values);
  struct Constant {
    Tensor tensor;
    std::vector<std::byte> values;
  };
  std::span<const Constant> constants() const { return constants_; }
  // Finds a tensor by name; a null Tensor if there is none.
  Tensor find(std::string_view name) const;

  // --- ops, in the order they run
  Op& append(const OpKind& kind, std::vector<Tensor> inputs, std::vector<Tensor> outputs,
             Attributes attributes = {});
  std::span<const Op> ops() const { return ops_; }
  std::span<Op> ops() { return ops_; }
  // The ops of a part; empty when the program has no such part.
  std::span<const Op> ops(Part part) const;
  void remove_ops(std::span<const std::size_t> sorted_indices);
  // For passes that write a new list of ops: takes all ops out; append(Op) puts one back as it is.
  std::vector<Op> take_ops() { return std::exchange(ops_, {}); }
  void append(Op op) { ops_.push_back(std::move(op)); }
  // Moves the ops from `begin` on, which were appended last, up: op begin + i comes right behind
  // the op `after[i]`, in their order; all in the same part.
  void move_ops(std::size_t begin, std::span<const std::size_t> after);

  // --- where the next ops go. Parts must be begun in the order of enum Part.
  void begin(Part part);
  Part part() const { return part_; }
  void set_part(Part part) { part_ = part; }  // for passes that write a new list of ops
  void set_phase(Phase phase) { phase_ = phase; }
  Phase phase() const { return phase_; }
  void set_layer(int layer) { layer_ = layer; }
  int layer() const { return layer_; }
  const std::string& scope() const { return scope_; }
  void set_scope(std::string scope) { scope_ = std::move(scope); }

  // --- weights. Set 0 is the model.
  int add_set(WeightSet set);  // returns its index
  std::span<const WeightSet> sets() const { return sets_; }
  Weight& add_weight(Weight weight);
  std::span<const Weight> weights() const { return weights_; }
  std::span<Weight> weights() { return weights_; }
  // The weight that ops read as `t`, or null.
  const Weight* weight_of(Tensor t) const;

 private:
  std::vector<TensorInfo> tensors_;
  std::vector<Op> ops_;
  std::vector<WeightSet> sets_{WeightSet{}};
  std::vector<Weight> weights_;
  std::vector<Constant> constants_;
  Part part_ = Part::micro_step;
  Phase phase_ = Phase::forward;
  int layer_ = -1;
  std::string scope_;
};

// Sets what an op costs by its kind's rule, as append() does: for passes that change its operands.
void set_cost(const Program& program, Op& op);

// An op in words: "layers.7.mlp.down_proj (linear_backward, backward)". Named by its weight where
// it has one, else by its scope.
std::string describe(const Program& program, const Op& op);

// Adds a name to the scope of tensors and ops appended while it lives, e.g. Scope s(program,
// "mlp").
class Scope {
 public:
  Scope(Program& program, std::string_view name, int layer = -2);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Program& program_;
  std::string outer_;
  int outer_layer_;
};

}  // namespace ingot

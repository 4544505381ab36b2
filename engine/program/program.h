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
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/numbers/dtype.h"
#include "engine/program/part.h"
#include "engine/program/queue.h"
#include "engine/program/step_state.h"
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

// How long a tensor keeps its place in the arena.
enum class Lifetime : std::uint8_t {
  transient,  // from the first op that writes it to the last that uses it
  frame,      // one for each micro-batch, from the first part that uses it to the last
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
  // What random numbers that belong to this tensor are drawn by: from its name, and its how-manieth
  // of that name it is, so that other tensors of the program change nothing. 0: add_tensor() sets
  // it.
  std::uint64_t stream = 0;

  std::int64_t bytes() const;  // throws std::logic_error past 63 bits
};

// Small named numbers that a kernel reads when it is made.
class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<std::string_view, double>> values);

  bool has(std::string_view name) const;
  double real(std::string_view name) const;  // throws std::logic_error if absent
  // Throws std::logic_error unless it is whole and exact: at most 2^53 either way. So no byte
  // counts and no names of random streams here.
  std::int64_t integer(std::string_view name) const;
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
  Part part;
  When when = When::every;
  Queue queue = kCompute;
  int ticket = -1;  // of a start: its number in the program; of a wait: that of its start
  int layer = -1;
  double flops = 0;  // of this op, 2 per multiply-add
  double bytes = 0;  // that must move at least
};

// Calls each(t) for every operand that the op has, inputs first; not for those not given.
template <class Each>
void for_operands(const Op& op, Each each) {
  for (const auto* operands : {&op.inputs, &op.outputs}) {
    for (const Tensor t : *operands) {
      if (t) each(t);
    }
  }
}

struct Cost {
  double flops = 0, bytes = 0;
};

class Gradients;

// What a kind multiplies, of y = x W^T and its gradients; inputs[0] and inputs[1] are the factors.
enum class Product : std::uint8_t {
  none,
  forward,        // x, W -> y
  dgrad,          // dy, W -> dx
  wgrad,          // dy, x -> dW
  head,           // hidden states, W -> the loss; a chunk of rows at a time
  head_backward,  // the same with the gradients of both
};

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

  // --- What passes ask. A new kind says it here and is entered in no other list.
  Product product = Product::none;
  std::int8_t weight_operand = -1;  // the input that is a weight matrix; -1: none
  // The input that may come as int8 codes, their scales then being the last input: a weight stored
  // in 8 bits where it is weight_operand too (compress/passes/int8_weights.h), else what a row-wise
  // op can read so (ops/quantize/row_codes.h). -1: none.
  std::int8_t codes_operand = -1;
  // The input that something is decided by, a router's logits: the product that makes it reads no
  // weight in 8 bits. -1: none.
  std::int8_t exact_operand = -1;
  // The op can write codes as well: of outputs[0], and of inputs[0] where that is codes_operand
  // (ops/quantize/row_codes.h).
  bool writes_codes = false;
  // Row i of the outputs is made from row i of the inputs alone, and of what all rows share (a
  // gain, a table); no product is called so.
  bool row_wise = false;
  // How many sums of squares of the gradient that it writes the op can leave, as one more output
  // (engine/execution/gradient_squares.h). Null: it can't.
  std::int64_t (*square_sums)(const Shape& gradient) = nullptr;

  // --- What devices ask.
  bool reads_step = false;                // kernels read KernelArguments::step
  QueueKind beside = QueueKind::compute;  // which queue it may run on beside compute; compute: none
};

// Where the next op goes.
struct Cursor {
  Part part;
  Phase phase = Phase::forward;
  int layer = -1;
  std::string scope;  // what names of ops and tensors begin with, e.g. "layers.7.mlp"
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
  // Of the view: of random numbers that are drawn by row and by column from its first one.
  std::uint64_t stream(Tensor t) const {
    return tensors_[t.id].stream ^ static_cast<std::uint64_t>(t.column);
  }
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
  // Tensors that every training program shares; each is made when it is first asked for.
  Tensor step();      // u8 [sizeof(StepState)]: written before a part runs
  Tensor report();    // f64 [kReportSlots]: what a step found out
  Tensor progress();  // f64 [kProgressCount]: what one update hands to the next
  // Null: nobody has asked for it.
  Tensor step() const { return step_; }
  Tensor report() const { return report_; }
  Tensor progress() const { return progress_; }
  // The index of a named number, the same for everyone who asks. Throws std::logic_error when there
  // are no more.
  int step_slot(std::string_view name);
  int report_slot(std::string_view name, ReportRule rule = ReportRule::sum);
  // -1: nobody has asked for it.
  int find_step_slot(std::string_view name) const;
  int find_report_slot(std::string_view name) const;
  int report_slots() const { return static_cast<int>(report_slots_.size()); }
  ReportRule report_rule(int slot) const { return report_slots_[slot].rule; }

  // --- queues (engine/program/queue.h)
  std::span<const QueueInfo> queues() const { return queues_; }
  Queue add_queue(QueueInfo queue);
  int new_ticket() { return tickets_++; }
  int tickets() const { return tickets_; }

  // Finds a tensor by name; a null Tensor if there is none.
  Tensor find(std::string_view name) const;

  // --- ops, in the order they run
  Op& append(const OpKind& kind, std::vector<Tensor> inputs, std::vector<Tensor> outputs,
             Attributes attributes = {});
  std::span<const Op> ops() const { return ops_; }
  std::span<Op> ops() { return ops_; }
  // The ops of a part; empty when the program has no such part.
  std::span<const Op> ops(Part part) const;
  std::vector<Part> parts() const;  // that have ops, in the order of the list
  void remove_ops(std::span<const std::size_t> sorted_indices);
  // For passes that write a new list of ops: takes all ops out; append(Op) puts one back as it is.
  std::vector<Op> take_ops() { return std::exchange(ops_, {}); }
  void append(Op op) { ops_.push_back(std::move(op)); }
  // Moves the ops from `begin` on, which were appended last, up: op begin + i comes right behind
  // the op `after[i]`, in their order; all in the same part.
  void move_ops(std::size_t begin, std::span<const std::size_t> after);

  // --- where the next ops go: begin() says it for what follows, At and Scope for as long as they
  // live. A part is one stretch of ops: one that others follow can't be begun again.
  void begin(Part part);
  Part part() const { return cursor_.part; }
  Phase phase() const { return cursor_.phase; }
  int layer() const { return cursor_.layer; }
  const std::string& scope() const { return cursor_.scope; }

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
  std::unordered_map<std::string, int> names_;  // how many tensors have each
  std::vector<Op> ops_;
  std::vector<WeightSet> sets_{WeightSet{}};
  std::vector<Weight> weights_;
  std::vector<Constant> constants_;
  struct ReportSlot {
    std::string name;
    ReportRule rule;
  };
  Tensor shared(Tensor& made, TensorInfo info);
  Tensor step_, report_, progress_;
  std::vector<QueueInfo> queues_{{QueueKind::compute, "compute"},
                                 {QueueKind::copy_in, "copy in"},
                                 {QueueKind::copy_out, "copy out"}};
  int tickets_ = 0;
  std::vector<std::string> step_slots_;
  std::vector<ReportSlot> report_slots_;
  Cursor cursor_;
  friend class At;
  friend class Scope;
};

// Writes a named number into a step; nothing happens where no op of the program reads it.
void set_slot(StepState& step, const Program& program, std::string_view name, double value);

// Of all operands of an op, each view as often as it is named.
double operand_bytes(const Program& program, const Op& op);

// Sets what an op costs by its kind's rule, as append() does: for passes that change its operands.
void set_cost(const Program& program, Op& op);

// An op in words: "layers.7.mlp.down_proj (linear_backward, backward)". Named by its weight where
// it has one, else by its scope.
std::string describe(const Program& program, const Op& op);

// Says where what is appended goes while it lives: `const At here(program, op);`.
class At {
 public:
  At(Program& program, Cursor cursor);
  At(Program& program, const Op& op);               // beside this op: its part, phase, layer, scope
  At(Program& program, const Op& op, Phase phase);  // the same, but in another phase
  ~At();
  At(const At&) = delete;
  At& operator=(const At&) = delete;

 private:
  Program& program_;
  Cursor outer_;
};

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

#include "memory/passes/saved_activations.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>

#include "engine/program/order.h"
#include "ops/quantize/quantize.h"

namespace ingot {
namespace {

// Narrower ones are not worth two ops.
constexpr std::int64_t kLeastColumns = 32;

// Who makes and who reads each tensor of a micro-step.
struct Uses {
  std::size_t backward = 0;                         // index of the first op of the backward phase
  std::vector<std::vector<std::size_t>> writers;    // by tensor id: forward ops, in order
  std::vector<std::vector<std::size_t>> readers;    // by tensor id: forward ops
  std::vector<std::vector<std::size_t>> wanted_by;  // by tensor id: backward ops

  explicit Uses(const Program& program)
      : writers(program.tensors().size()),
        readers(program.tensors().size()),
        wanted_by(program.tensors().size()) {
    const auto ops = program.ops();
    const auto first = std::find_if(ops.begin(), ops.end(),
                                    [](const Op& op) { return op.phase == Phase::backward; });
    backward = first - ops.begin();
    for (std::size_t i = 0; i < ops.size(); ++i) {
      const bool forward = i < backward;
      for (const Tensor t : ops[i].inputs) {
        if (t) add((forward ? readers : wanted_by)[t.id], i);
      }
      for (const Tensor t : ops[i].outputs) {
        if (t && forward) add(writers[t.id], i);
      }
    }
  }

 private:
  static void add(std::vector<std::size_t>& list, std::size_t op) {
    if (list.empty() || list.back() != op) list.push_back(op);
  }
};

// Something forward makes that lives in the arena for a while, which can be renamed.
bool is_activation(const Program& program, const Uses& uses, int id) {
  return program.tensors()[id].role == Role::activation &&
         program.tensors()[id].lifetime == Lifetime::transient && !uses.writers[id].empty();
}

// Whether the forward ops that write this tensor can be run again in backward: none has a memory,
// and no other operand of theirs is overwritten by an op after them.
bool can_run_again(const Program& program, const Uses& uses, int id) {
  const auto overwritten_after = [&](Tensor t, std::size_t op) {
    return std::any_of(uses.writers[t.id].begin(), uses.writers[t.id].end(), [&](std::size_t w) {
      const auto& outputs = program.ops()[w].outputs;
      return w > op && std::any_of(outputs.begin(), outputs.end(),
                                   [&](Tensor output) { return overlap(output, t); });
    });
  };
  return std::all_of(uses.writers[id].begin(), uses.writers[id].end(), [&](std::size_t writer) {
    const Op& op = program.ops()[writer];
    const auto unchanged = [&](Tensor t) {
      return !t || t.id == id || !overwritten_after(t, writer);
    };
    return !op.kind->stateful && std::all_of(op.inputs.begin(), op.inputs.end(), unchanged) &&
           std::all_of(op.outputs.begin(), op.outputs.end(), unchanged);
  });
}

// An activation that backward does not read is computed again when it is needed for another, unless
// it must stay.
bool stays(const Program& program, const Uses& uses, int id) {
  return program.tensors()[id].saving == Saving::checkpoint || !can_run_again(program, uses, id);
}

// The ops that compute a tensor again from saved activations. What backward does not read itself is
// computed again on the way. False when that meets something that cannot be.
bool collect_chain(const Program& program, const Uses& uses, int id,
                   std::vector<std::size_t>& chain) {
  if (!can_run_again(program, uses, id)) return false;
  for (const std::size_t writer : uses.writers[id]) {
    for (const Tensor t : program.ops()[writer].inputs) {
      if (!t || t.id == id || !is_activation(program, uses, t.id)) continue;
      const bool available = !uses.wanted_by[t.id].empty() || stays(program, uses, t.id);
      if (!available && !collect_chain(program, uses, t.id, chain)) return false;
    }
    if (std::find(chain.begin(), chain.end(), writer) == chain.end()) chain.push_back(writer);
  }
  return true;
}

// Sums over tokens average rounding errors out if they are unbiased; anything else is better off
// with the nearest code (B1).
bool only_multiplied(const Program& program, const Uses& uses, int id) {
  return std::all_of(uses.wanted_by[id].begin(), uses.wanted_by[id].end(), [&](std::size_t i) {
    return program.ops()[i].kind->product == Product::wgrad;
  });
}

// Copies the ops one by one into the program they were taken from, with what is to be stored and
// brought back between them. An example of five ops, h from outside:
//
//   forward    n  = norm(h)
//              g  = linear(n, W)
//              s  = swiglu(g)
//   backward   dg = swiglu_backward(ds, g)
//              dW = linear_wgrad(dg, n)
//
// With h kept, g in int8 and n recomputed that becomes
//
//   forward    n  = norm(h)
//              g  = linear(n, W)
//              s  = swiglu(g)
//              c  = quantize(g)              no op of forward after swiglu touches g
//   backward   g' = dequantize(c)            g' stands in for g from here on
//              dg = swiglu_backward(ds, g')
//              n' = norm(h)                  n rematerialized: its op once more, from what there is
//              dW = linear_wgrad(dg, n')
//
// so that only h and c live from forward to backward. Were g recomputed too, its op would first
// want n: n' = norm(h) and g' = linear(n', W) would stand before swiglu_backward, and linear_wgrad
// would find n' there.
class Rewriter {
 public:
  Rewriter(Program& program, std::vector<Storage> storage)
      : program_(program),
        storage_(std::move(storage)),
        uses_(program),
        stand_ins_(program.tensors().size()),
        quantized_(program.tensors().size()) {
    for (std::size_t id = 0; id < storage_.size(); ++id) {
      unbiased_.push_back(storage_[id] == Storage::int8 &&
                          only_multiplied(program, uses_, static_cast<int>(id)));
    }
    ops_ = program.take_ops();
  }

  void run() {
    for (std::size_t i = 0; i < uses_.backward; ++i) {
      program_.append(ops_[i]);
      quantize_finished(i);
    }
    for (std::size_t i = uses_.backward; i < ops_.size(); ++i) {
      for (const Tensor t : ops_[i].inputs) bring_back(t);
      Op op = ops_[i];
      for (Tensor& t : op.inputs) t = stand_in_for(t);
      program_.append(std::move(op));
    }
  }

 private:
  bool is_made_by_forward(Tensor t) const {
    return t && static_cast<std::size_t>(t.id) < storage_.size() && !uses_.writers[t.id].empty();
  }
  Storage storage_of(Tensor t) const {
    return is_made_by_forward(t) ? storage_[t.id] : Storage::keep;
  }
  bool is_touched_last_by(std::size_t op, int id) const {
    const auto& readers = uses_.readers[id];
    return std::max(readers.empty() ? 0 : readers.back(), uses_.writers[id].back()) == op;
  }

  // Quantizes the tensors that no forward op after this one touches.
  void quantize_finished(std::size_t op) {
    for (const auto* operands : {&ops_[op].inputs, &ops_[op].outputs}) {
      for (const Tensor t : *operands) {
        if (storage_of(t) != Storage::int8 || quantized_[t.id].codes) continue;
        if (!is_touched_last_by(op, t.id)) continue;
        const At beside(program_, ops_[op], Phase::forward);
        quantized_[t.id] = quantize(program_, program_.whole(t.id),
                                    {.group = kActivationGroup, .stochastic = unbiased_[t.id]});
      }
    }
  }

  // The tensor, or the same columns of what stands in for it.
  Tensor stand_in_for(Tensor t) const {
    if (!is_made_by_forward(t) || !stand_ins_[t.id]) return t;
    return {stand_ins_[t.id].id, t.column, t.columns};
  }

  // "NAME again", like the tensor.
  Tensor another(int id) {
    TensorInfo info = program_.tensors()[id];
    info.name += " again";
    return program_.add_tensor_as_named(std::move(info));
  }

  // Appends what makes a stand-in for a tensor that was not kept: behind what makes those that it
  // is computed from.
  void bring_back(Tensor t) {
    if (storage_of(t) == Storage::keep || stand_ins_[t.id]) return;
    if (storage_[t.id] == Storage::int8) return restore_from_codes(t.id);
    for (const std::size_t writer : uses_.writers[t.id]) {
      for (const Tensor input : ops_[writer].inputs) {
        if (input && input.id != t.id) bring_back(input);
      }
    }
    rematerialize(t.id);
  }

  void restore_from_codes(int id) {
    const Tensor values = another(id);
    const At beside(program_, ops_[uses_.writers[id].front()], Phase::backward);
    dequantize(program_, quantized_[id], values, kActivationGroup);
    stand_ins_[id] = values;
  }

  // Runs the ops that write a tensor once more. All that they read is there.
  void rematerialize(int id) {
    if (!stand_ins_[id]) stand_ins_[id] = another(id);
    for (const std::size_t writer : uses_.writers[id]) {
      Op op = ops_[writer];
      op.phase = Phase::backward;
      for (Tensor& t : op.inputs) t = stand_in_for(t);
      for (Tensor& t : op.outputs) t = target_of_rerun(t);
      program_.append(std::move(op));
    }
  }

  // Where an op that runs once more writes an output. What is kept gets the same bits again; what
  // only this op makes is brought back on the way; of what takes several ops, unless it is what is
  // being made here, this is not all: it goes where nobody looks.
  Tensor target_of_rerun(Tensor t) {
    if (storage_of(t) == Storage::keep) return t;
    if (!stand_ins_[t.id] && uses_.writers[t.id].size() == 1) stand_ins_[t.id] = another(t.id);
    if (stand_ins_[t.id]) return stand_in_for(t);
    return {another(t.id).id, t.column, t.columns};
  }

  Program& program_;
  std::vector<Storage> storage_;  // by tensor id
  Uses uses_;
  std::vector<bool> unbiased_;        // by tensor id: quantized stochastically
  std::vector<Tensor> stand_ins_;     // by tensor id: what stands in for it in backward
  std::vector<Quantized> quantized_;  // by tensor id
  std::vector<Op> ops_;
};

}  // namespace

std::string_view name_of(Storage storage) {
  constexpr std::string_view kNames[] = {"keep", "int8", "recompute"};
  return kNames[static_cast<int>(storage)];
}

std::vector<SavedActivation> saved_activations(const Program& program) {
  const Uses uses(program);
  std::vector<SavedActivation> saved;
  std::map<std::string, int> seen;
  for (int id = 0; id < static_cast<int>(program.tensors().size()); ++id) {
    if (!is_activation(program, uses, id) || uses.wanted_by[id].empty()) continue;
    const TensorInfo& info = program.tensors()[id];
    const int same = ++seen[info.name];
    SavedActivation activation{.tensor = id,
                               .name = info.name + (same > 1 ? " " + std::to_string(same) : ""),
                               .layer = info.layer,
                               .bytes = info.bytes()};
    if (info.saving == Saving::any && is_float(info.dtype) && info.shape.last() >= kLeastColumns) {
      const std::int64_t groups = (info.shape.last() + kActivationGroup - 1) / kActivationGroup;
      activation.int8_bytes = info.shape.elements() + 4 * info.shape.rows() * groups;
    }
    if (info.saving != Saving::checkpoint) {
      activation.recomputable = collect_chain(program, uses, id, activation.recompute_ops);
    }
    if (!activation.recomputable) activation.recompute_ops.clear();
    saved.push_back(std::move(activation));
  }
  return saved;
}

void store_activations(Program& program, std::span<const SavedActivation> saved,
                       const std::vector<Storage>& storage) {
  const Uses uses(program);
  std::vector<Storage> all(program.tensors().size(), Storage::keep);
  for (int id = 0; id < static_cast<int>(all.size()); ++id) {
    if (is_activation(program, uses, id) && !stays(program, uses, id)) {
      all[id] = Storage::recompute;
    }
  }
  for (const SavedActivation& activation : saved) {
    const int id = activation.tensor;
    all[id] = static_cast<std::size_t>(id) < storage.size() ? storage[id] : Storage::keep;
    if ((all[id] == Storage::int8 && activation.int8_bytes == 0) ||
        (all[id] == Storage::recompute && !activation.recomputable)) {
      throw std::logic_error(program.tensors()[id].name + " can not be stored as " +
                             std::string(name_of(all[id])));
    }
  }
  Rewriter(program, std::move(all)).run();
}

}  // namespace ingot

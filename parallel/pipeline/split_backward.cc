#include "parallel/pipeline/split_backward.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/program/order.h"
#include "ops/add/add.h"

namespace ingot {
namespace {

// By tensor: whether ops of several backward parts use it.
std::vector<bool> shared_by_chunks(const Program& program, std::span<const Op> ops) {
  std::vector<int> chunks(program.tensors().size(), -1);
  std::vector<bool> shared(chunks.size(), false);
  for (const Op& op : ops) {
    if (op.part.kind != PartKind::backward) continue;
    for_operands(op, [&](Tensor t) {
      if (chunks[t.id] >= 0 && chunks[t.id] != op.part.chunk) shared[t.id] = true;
      chunks[t.id] = op.part.chunk;
    });
  }
  return shared;
}

// One backward part. Its ops are put back into the program they were taken from.
class Split {
 public:
  Split(Program& program, std::span<Op> ops, const std::vector<bool>& shared)
      : program_(program), ops_(ops), moved_(ops.size()), overwritten_(ops.size()) {
    std::vector<const Op*> staying;  // that come later
    for (std::size_t i = ops.size(); i-- > 0;) {
      const Op& op = ops[i];
      const auto only_for_update = [&](Tensor t) {
        return !t || (program.info(t).role == Role::gradient && !shared[t.id] &&
                      std::ranges::none_of(staying, [t](const Op* later) {
                        return touches(later->inputs, t) || touches(later->outputs, t);
                      }));
      };
      moved_[i] = op.phase == Phase::backward && !op.outputs.empty() &&
                  std::ranges::all_of(op.outputs, only_for_update);
      if (!moved_[i]) {
        staying.push_back(&op);
        continue;
      }
      for (const Tensor t : op.inputs) {
        overwritten_[i].push_back(t && std::ranges::any_of(staying, [t](const Op* later) {
                                    return touches(later->outputs, t);
                                  }));
      }
    }
  }

  void run() {
    std::vector<Op> weight_gradients;
    for (std::size_t i = 0; i < ops_.size(); ++i) {
      Op& op = ops_[i];
      if (moved_[i]) {
        for (std::size_t input = 0; input < op.inputs.size(); ++input) {
          if (overwritten_[i][input]) op.inputs[input] = copy_of(op.inputs[input], op);
        }
        op.part.kind = PartKind::weight_gradients;
        weight_gradients.push_back(std::move(op));
        continue;
      }
      std::erase_if(copies_, [&](const auto& copy) { return touches(op.outputs, copy.first); });
      program_.append(std::move(op));
    }
    for (Op& op : weight_gradients) program_.append(std::move(op));
  }

 private:
  // Of what it is now; a later op adds to it.
  Tensor copy_of(Tensor t, const Op& reader) {
    for (const auto& [original, copy] : copies_) {
      if (original == t) return copy;
    }
    const At here(program_, reader);
    const TensorInfo& info = program_.info(t);
    const Tensor copy = program_.add_tensor_as_named({.name = info.name + " kept",
                                                      .shape = {program_.rows(t), t.columns},
                                                      .dtype = info.dtype,
                                                      .layer = info.layer});
    add_into(program_, t, copy, /*accumulate=*/false);
    copies_.emplace_back(t, copy);
    return copy;
  }

  Program& program_;
  std::span<Op> ops_;
  std::vector<bool> moved_;                     // by op
  std::vector<std::vector<bool>> overwritten_;  // by moved op and input: by an op that stays
  std::vector<std::pair<Tensor, Tensor>> copies_;
};

}  // namespace

void split_backward(Program& program) {
  std::vector<Op> ops = program.take_ops();
  const std::vector<bool> shared = shared_by_chunks(program, ops);
  for (auto begin = ops.begin(); begin != ops.end();) {
    const Part part = begin->part;
    const auto end = std::find_if(begin, ops.end(), [&](const Op& op) { return op.part != part; });
    if (part.kind == PartKind::backward) {
      Split(program, {begin, end}, shared).run();
    } else {
      std::for_each(begin, end, [&](Op& op) { program.append(std::move(op)); });
    }
    begin = end;
  }
}

}  // namespace ingot

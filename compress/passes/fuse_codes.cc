#include "compress/passes/fuse_codes.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "engine/program/order.h"
#include "ops/quantize/quantize.h"
#include "ops/quantize/row_codes.h"
#include "ops/swiglu/swiglu.h"

namespace ingot {
namespace {

// Which input an op can read as codes, row by row.
std::optional<std::size_t> readable_as_codes(const Op& op) {
  if (!op.kind->row_wise || op.kind->codes_operand < 0) return std::nullopt;
  return op.kind->codes_operand;
}

// Whether an op can write codes of its first input.
bool can_save_input(const Op& op) { return op.kind->writes_codes && readable_as_codes(op) == 0; }

class Fusion {
 public:
  explicit Fusion(Program& program) : program_(program), ops_(program.ops()) {}

  void run() {
    for (std::size_t i = 0; i < ops_.size(); ++i) {
      const bool fused = (ops_[i].kind == &kQuantize && move_quantize(i)) ||
                         (ops_[i].kind == &kDequantize && move_dequantize(i));
      if (fused) gone_.push_back(i);
    }
    drop_unread_values();
    for (Op* op : changed_) set_cost(program_, *op);
    program_.remove_ops(gone_);
  }

 private:
  bool same_part(std::size_t i, std::size_t j) const { return ops_[i].part == ops_[j].part; }

  // Into the op that makes the values, or the last one before that reads them as its first input.
  bool move_quantize(std::size_t i) {
    const Tensor values = ops_[i].inputs[0];
    Op* reader = nullptr;
    for (std::size_t j = i; j-- > 0 && same_part(i, j);) {
      Op& op = ops_[j];
      if (touches(op.outputs, values)) {
        if (op.kind->writes_codes && op.outputs[0] == values && !codes_of(op, CodesOf::output)) {
          add_codes(op, CodesOf::output, ops_[i]);
          changed_.push_back(&op);
          return true;
        }
        break;
      }
      const bool can_save = can_save_input(op) && op.inputs[0] == values;
      if (can_save && reader == nullptr && !codes_of(op, CodesOf::input)) reader = &op;
    }
    if (reader == nullptr) return false;
    add_codes(*reader, CodesOf::input, ops_[i]);
    changed_.push_back(reader);
    return true;
  }

  bool move_dequantize(std::size_t i) {
    const Tensor values = ops_[i].outputs[0];
    if (program_.info(values).lifetime != Lifetime::transient) return false;
    std::vector<Op*> readers;
    for (std::size_t j = i + 1; j < ops_.size() && same_part(i, j); ++j) {
      Op& op = ops_[j];
      if (touches(op.inputs, values)) {
        const auto operand = readable_as_codes(op);
        if (!operand || op.inputs[*operand] != values) return false;
        readers.push_back(&op);
      }
      if (touches(op.outputs, values)) break;
    }
    for (Op* reader : readers) read_codes(*reader, *readable_as_codes(*reader), ops_[i]);
    changed_.insert(changed_.end(), readers.begin(), readers.end());
    return true;
  }

  // Of transient tensors that one op writes and none reads.
  void drop_unread_values() {
    std::vector<int> uses(program_.tensors().size());
    for (std::size_t i = 0, next = 0; i < ops_.size(); ++i) {
      if (next < gone_.size() && gone_[next] == i) {
        ++next;
        continue;
      }
      for_operands(ops_[i], [&](Tensor t) { ++uses[t.id]; });
    }
    for (Op& op : ops_) {
      if (!codes_of(op, CodesOf::output) || !op.outputs[0]) continue;
      const TensorInfo& info = program_.info(op.outputs[0]);
      const bool unread = uses[op.outputs[0].id] == 1 && info.role == Role::activation &&
                          info.lifetime == Lifetime::transient;
      if (unread && !op.attributes.flag("accumulate")) drop_values(program_, op);
    }
  }

  Program& program_;
  std::span<Op> ops_;
  std::vector<std::size_t> gone_;
  std::vector<Op*> changed_;
};

// A SwiGLU that backward runs again from codes, for the products that want h: its backward op reads
// the same codes a little later and makes h on the way. What needs h waits for it.
class HiddenFromBackward {
 public:
  explicit HiddenFromBackward(Program& program) : program_(program), ops_(program.take_ops()) {}

  void run() {
    for (std::size_t i = 0; i < ops_.size(); ++i) {
      if (ops_[i].kind == &kSwiglu && ops_[i].phase == Phase::backward) merge(i);
    }
    for (Op& op : ops_) program_.append(std::move(op));
  }

 private:
  void merge(std::size_t again) {
    const Op& swiglu = ops_[again];
    if (program_.dtype(swiglu.inputs[0]) != DType::i8 || !swiglu.outputs[0]) return;
    std::size_t backward = again + 1;
    while (backward < ops_.size() && !is_backward_of(swiglu, ops_[backward])) ++backward;
    if (backward == ops_.size()) return;

    // What needs h waits for the backward op, and so does what needs that.
    std::vector<std::size_t> waiting = {again};
    const auto waits = [&](std::size_t i) {
      return std::ranges::any_of(waiting, [&](std::size_t j) { return depends(ops_[i], ops_[j]); });
    };
    for (std::size_t i = again + 1; i < backward; ++i) {
      if (waits(i)) waiting.push_back(i);
    }
    if (waits(backward)) return;

    ops_[backward].outputs[2] = swiglu.outputs[0];
    set_cost(program_, ops_[backward]);
    waiting.erase(waiting.begin());  // SwiGLU itself is no longer run
    reorder(again, backward, waiting);
  }

  // Whether the op is SwiGLU's backward, of the same codes, and does not make h yet.
  static bool is_backward_of(const Op& swiglu, const Op& op) {
    return op.kind == &kSwigluBackward && op.part == swiglu.part && !op.outputs[2] &&
           std::equal(swiglu.inputs.begin(), swiglu.inputs.end(), op.inputs.begin() + 1,
                      op.inputs.end());
  }

  // Instead of the ops [first, last]: those between them that do not wait, the last, those that do.
  // The first is gone.
  void reorder(std::size_t first, std::size_t last, const std::vector<std::size_t>& waiting) {
    std::vector<std::size_t> order;
    for (std::size_t i = first + 1; i <= last; ++i) {
      if (!std::ranges::binary_search(waiting, i)) order.push_back(i);
    }
    order.insert(order.end(), waiting.begin(), waiting.end());
    std::vector<Op> ordered;
    for (const std::size_t i : order) ordered.push_back(std::move(ops_[i]));
    std::ranges::move(ordered, ops_.begin() + static_cast<std::ptrdiff_t>(first));
    ops_.erase(ops_.begin() + static_cast<std::ptrdiff_t>(last));
  }

  Program& program_;
  std::vector<Op> ops_;
};

}  // namespace

void fuse_codes(Program& program) {
  Fusion(program).run();
  HiddenFromBackward(program).run();
}

}  // namespace ingot

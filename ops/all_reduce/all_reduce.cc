#include "ops/all_reduce/all_reduce.h"

#include <stdexcept>

namespace ingot {
namespace {

// An addition an element, and two passes over memory: what is sent, and what arrives.
Cost all_reduce_cost(const Program& program, const Op& op) {
  Cost cost;
  for (const Tensor t : op.inputs) {
    cost.flops += static_cast<double>(program.info(t).shape.elements());
    cost.bytes += 2.0 * static_cast<double>(program.info(t).bytes());
  }
  return cost;
}

}  // namespace

const OpKind kAllReduce{
    .name = "all_reduce", .cost = all_reduce_cost, .stateful = true, .beside = QueueKind::group};

Op& all_reduce(Program& program, std::span<const Tensor> tensors, Queue queue) {
  for (const Tensor t : tensors) {
    const DType dtype = program.dtype(t);
    const bool adds = dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::i32;
    if (!adds || !program.is_whole(t)) {
      throw std::logic_error("all_reduce: " + program.info(t).name +
                             " is not whole f32, bf16, i32");
    }
  }
  const std::vector<Tensor> operands(tensors.begin(), tensors.end());
  Op& op = program.append(kAllReduce, operands, operands);
  op.queue = queue;
  return op;
}

}  // namespace ingot

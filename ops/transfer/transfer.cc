#include "ops/transfer/transfer.h"

#include <stdexcept>

namespace ingot {
namespace {

Cost transfer_cost(const Program& program, const Op& op) {
  return {0, 2.0 * static_cast<double>(program.info(op.outputs[0]).bytes())};
}

void check(const Program& program, Tensor offloaded) {
  if (program.info(offloaded).place != Place::offload) {
    throw std::logic_error("transfer: " + program.info(offloaded).name + " is not offloaded");
  }
}

}  // namespace

const OpKind kFetch{.name = "fetch", .cost = transfer_cost, .beside = QueueKind::copy_in};
const OpKind kStore{.name = "store", .cost = transfer_cost, .beside = QueueKind::copy_out};

Tensor fetch(Program& program, Tensor offloaded) {
  check(program, offloaded);
  TensorInfo info = program.info(offloaded);
  info.name += " here";
  info.place = Place::arena;
  info.lifetime = Lifetime::transient;
  const Tensor copy = program.add_tensor_as_named(std::move(info));
  program.append(kFetch, {program.whole(offloaded.id)}, {copy});
  return copy;
}

void store(Program& program, Tensor copy, Tensor offloaded) {
  check(program, offloaded);
  if (program.info(copy).bytes() != program.info(offloaded).bytes()) {
    throw std::logic_error("transfer: sizes differ for " + program.info(offloaded).name);
  }
  program.append(kStore, {copy}, {program.whole(offloaded.id)});
}

}  // namespace ingot

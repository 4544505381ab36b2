#include "engine/execution/executor.h"

#include <stdexcept>
#include <utility>

namespace ingot {

BoundProgram::BoundProgram(const Program& program, Backend& backend) {
  bytes_.reserve(program.tensors().size());
  for (const TensorInfo& info : program.tensors()) bytes_.push_back(info.bytes());
  kernels_.reserve(program.ops().size());
  for (const Op& op : program.ops()) {
    kernels_.push_back(backend.make_kernel(program, op));
    if (const std::int64_t bytes = kernels_.back()->output_bytes(); bytes > 0) {
      bytes_[op.outputs[0].id] = bytes;
    }
  }
}

Executor::Executor(const Program& program, BoundProgram bound, Placement placement,
                   Backend& backend, const std::filesystem::path& offload_folder)
    : program_(program),
      bound_(std::move(bound)),
      placement_(std::move(placement)),
      backend_(backend),
      arena_(backend.allocate(placement_.arena_bytes())) {
  if (placement_.offload_bytes() > 0) {
    offload_ = backend.allocate_offload(placement_.offload_bytes(), offload_folder);
  }
  std::size_t operands = 0;
  for (const Op& op : program.ops()) operands += op.inputs.size() + op.outputs.size();
  pointers_.reserve(operands);  // spans into it must stay valid
  arguments_.reserve(program.ops().size());
  const auto point = [this](const std::vector<Tensor>& tensors) {
    const std::size_t first = pointers_.size();
    for (const Tensor t : tensors) pointers_.push_back(t ? data(t) : nullptr);
    return std::span<std::byte* const>(pointers_.data() + first, tensors.size());
  };
  for (const Op& op : program.ops()) {
    arguments_.push_back(
        {.inputs = point(op.inputs), .outputs = point(op.outputs), .workspace = workspace(op)});
  }
  for (const Program::Constant& constant : program.constants()) {
    write(constant.tensor, constant.values);
  }
}

void Executor::run(Part part, const StepState& state) {
  const std::span<const Op> ops = program_.ops(part);
  const std::size_t first = ops.data() - program_.ops().data();
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (observer_ != nullptr) observer_->before(ops[i]);
    bound_.kernel(first + i).run(arguments_[first + i], state);
    if (observer_ != nullptr) observer_->after(ops[i]);
  }
  backend_.synchronize();
}

std::byte* Executor::data(Tensor t) const {
  const std::int64_t offset = placement_.offsets[t.id];
  if (offset < 0) throw std::logic_error(program_.info(t).name + " has no place in the arena");
  DeviceMemory& memory = program_.info(t).place == Place::arena ? *arena_ : *offload_;
  return memory.data() + offset + t.column * size_of(program_.dtype(t));
}

std::span<std::byte> Executor::workspace(const Op& op) const {
  const std::size_t index = &op - program_.ops().data();
  const std::int64_t bytes = bound_.workspace_bytes(index);
  if (bytes == 0) return {};
  return {arena_->data() + placement_.workspaces[index], static_cast<std::size_t>(bytes)};
}

void Executor::write(Tensor t, std::span<const std::byte> host) {
  if (static_cast<std::int64_t>(host.size()) != bytes(t)) {
    throw std::logic_error("write to " + program_.info(t).name + ": wrong size");
  }
  backend_.copy_to_device(data(program_.whole(t.id)), host);
}

void Executor::read(Tensor t, std::span<std::byte> host) const {
  if (static_cast<std::int64_t>(host.size()) != bytes(t)) {
    throw std::logic_error("read of " + program_.info(t).name + ": wrong size");
  }
  backend_.copy_to_host(host, data(program_.whole(t.id)));
}

float Executor::read_scalar(Tensor t) const {
  float value;
  backend_.copy_to_host({reinterpret_cast<std::byte*>(&value), sizeof value}, data(t));
  return value;
}

}  // namespace ingot

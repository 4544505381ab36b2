#include "engine/execution/executor.h"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <utility>

namespace ingot {

BoundProgram::BoundProgram(const Program& program, Backend& backend) {
  bytes_.reserve(program.tensors().size());
  for (const TensorInfo& info : program.tensors()) bytes_.push_back(info.bytes());
  kernels_.reserve(program.ops().size());
  for (const Op& op : program.ops()) {
    if (op.kind == &kWait) {  // the executor's own
      kernels_.push_back(nullptr);
      continue;
    }
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
      backend_(backend) {
  for (int place = 0; place < kPlaceCount; ++place) {
    const std::int64_t bytes = placement_.bytes[place];
    if (bytes == 0 && place != static_cast<int>(Place::arena)) continue;
    memories_[place] = backend.allocate(static_cast<Place>(place), bytes, offload_folder);
  }
  std::vector<int> starts(program.queues().size());
  for (const Op& op : program.ops()) ++starts[op.queue];
  queues_ = backend.open(starts);
  open_.resize(program.tickets());
  for (const Part part : program.parts()) parts_.push_back(operands_of(part));
  for (const Program::Constant& constant : program.constants()) {
    write(constant.tensor, constant.values);
  }
}

Executor::Operands Executor::operands_of(std::span<const Op> ops, int micro_batch) const {
  Operands result;
  std::size_t count = 0;
  for (const Op& op : ops) count += op.inputs.size() + op.outputs.size();
  result.pointers.reserve(count);  // spans into it must stay valid
  result.arguments.reserve(ops.size());
  const auto point = [&](const std::vector<Tensor>& tensors) {
    const std::size_t first = result.pointers.size();
    for (const Tensor t : tensors) {
      result.pointers.push_back(t ? address(t, micro_batch) : nullptr);
    }
    return std::span<std::byte* const>(result.pointers.data() + first, tensors.size());
  };
  const auto* step =
      program_.step() ? reinterpret_cast<const StepState*>(address(program_.step(), 0)) : nullptr;
  for (const Op& op : ops) {
    result.arguments.push_back({.inputs = point(op.inputs),
                                .outputs = point(op.outputs),
                                .workspace = workspace(op),
                                .step = op.kind->reads_step ? step : nullptr});
  }
  return result;
}

Executor::PartOperands Executor::operands_of(Part part) {
  const std::span<const Op> ops = program_.ops(part);
  PartOperands result{.part = part,
                      .first_op = static_cast<std::size_t>(ops.data() - program_.ops().data())};
  const Frames& frames = placement_.frames;
  std::set<int> blocks;  // that the part uses
  for (const Op& op : ops) {
    for_operands(op, [&](Tensor t) {
      if (program_.info(t).lifetime == Lifetime::frame) blocks.insert(frames.blocks[t.id]);
    });
  }
  std::map<std::vector<std::int64_t>, std::size_t> tables;  // by the places of these blocks
  for (int i = 0; i < frames.micro_batches(); ++i) {
    std::vector<std::int64_t> places;
    for (const int block : blocks) places.push_back(frames.places[block][i]);
    const auto [table, is_new] = tables.try_emplace(std::move(places), result.tables.size());
    if (is_new) result.tables.push_back(operands_of(ops, i));
    result.by_micro_batch.push_back(table->second);
  }
  return result;
}

void Executor::run(const Action& action, const StepState& step, const Turn& turn) {
  if (const Tensor t = program_.step()) {
    queues_->upload(range(t), std::as_bytes(std::span(&step, 1)));
  }
  const auto part = std::ranges::find(parts_, action.part, &PartOperands::part);
  if (part == parts_.end()) return;
  micro_batch_ = action.micro_batch;
  // Only parts that use frames differ by the micro-batch, and those exist for all of them.
  const std::size_t table =
      part->tables.size() == 1 ? 0 : part->by_micro_batch.at(action.micro_batch);
  const std::vector<KernelArguments>& arguments = part->tables[table].arguments;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const Op& op = program_.ops()[part->first_op + i];
    if (!runs_in(op.when, turn)) continue;
    if (observer_ != nullptr) observer_->before(op);
    start(op, part->first_op + i, arguments[i], turn);
    if (observer_ != nullptr) observer_->after(op);
  }
}

void Executor::start(const Op& op, std::size_t index, const KernelArguments& arguments,
                     const Turn& turn) {
  if (op.kind == &kWait) return queues_->await(open_[op.ticket]);
  const Ticket ticket = queues_->enqueue(op.queue, bound_.kernel(index), arguments, turn);
  if (op.queue != kCompute) open_[op.ticket] = ticket;
}

Range Executor::range(Tensor t, int micro_batch) const {
  const std::int64_t offset = placement_.offset(t.id, micro_batch);
  if (offset < 0) throw std::logic_error(program_.info(t).name + " has no place in the arena");
  Memory* const memory = memories_[static_cast<int>(program_.info(t).place)].get();
  return {memory, offset, bytes(t)};
}

std::byte* Executor::address(Tensor t, int micro_batch) const {
  const Range place = range(t, micro_batch);
  return place.memory->address() + place.offset + t.column * size_of(program_.dtype(t));
}

std::byte* Executor::host(Tensor t) const {
  if (!backend_.traits().host_visible) {
    throw std::logic_error(backend_.traits().name + " has memory of its own");
  }
  return address(t, micro_batch_);
}

std::span<std::byte> Executor::workspace(const Op& op) const {
  const std::size_t index = &op - program_.ops().data();
  const std::int64_t bytes = bound_.workspace_bytes(index);
  if (bytes == 0) return {};
  std::byte* const arena = memories_[static_cast<int>(Place::arena)]->address();
  return {arena + placement_.workspaces[index], static_cast<std::size_t>(bytes)};
}

void Executor::write(Tensor t, std::span<const std::byte> host) {
  if (static_cast<std::int64_t>(host.size()) != bytes(t)) {
    throw std::logic_error("write to " + program_.info(t).name + ": wrong size");
  }
  synchronize();
  backend_.write(range(t), host);
}

void Executor::read(Tensor t, std::span<std::byte> host) const {
  if (static_cast<std::int64_t>(host.size()) != bytes(t)) {
    throw std::logic_error("read of " + program_.info(t).name + ": wrong size");
  }
  synchronize();
  backend_.read(host, range(t));
}

float Executor::read_scalar(Tensor t) const {
  float value;
  synchronize();
  backend_.read(std::as_writable_bytes(std::span(&value, 1)),
                range(t).subrange(t.column * size_of(DType::f32), sizeof value));
  return value;
}

double Executor::reported(std::string_view name) const {
  const int slot = program_.find_report_slot(name);
  if (slot < 0) throw std::logic_error("nobody reports " + std::string(name));
  double value;
  synchronize();
  backend_.read(std::as_writable_bytes(std::span(&value, 1)),
                range(program_.report()).subrange(slot * size_of(DType::f64), sizeof value));
  return value;
}

}  // namespace ingot

// Runs a program: one arena, one loop over ops. Does nothing clever, so that profiles, traces and
// the hunt for non-finite values are observers of the same loop.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "engine/execution/backend.h"
#include "engine/execution/placement.h"
#include "engine/program/program.h"

namespace ingot {

// Called around every op while set; may read tensors through the executor.
class OpObserver {
 public:
  virtual ~OpObserver() = default;
  virtual void before(const Op&) {}
  virtual void after(const Op& op) = 0;
};

// The kernels of a program on one backend, and what they make of its memory: workspaces, and the
// size of tensors in a layout of the backend's own. The program stays as it is, so it can be bound
// to several backends.
class BoundProgram {
 public:
  BoundProgram(const Program& program, Backend& backend);
  Kernel& kernel(std::size_t op) const { return *kernels_[op]; }
  std::int64_t workspace_bytes(std::size_t op) const {
    return kernels_[op] ? kernels_[op]->workspace_bytes() : 0;
  }
  std::int64_t bytes(int tensor) const { return bytes_[tensor]; }

 private:
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::vector<std::int64_t> bytes_;  // by tensor id
};

class Executor {
 public:
  // placement: of memory/plan.h, or separate_places(). offload_folder: on the CPU, where the file
  // of offloaded tensors lies.
  Executor(const Program& program, BoundProgram bound, Placement placement, Backend& backend,
           const std::filesystem::path& offload_folder = {});
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Gives the ops of a part to their queues, behind the upload of the step, and returns: nothing
  // here waits for the device. Allocates nothing.
  void run(const Action& action, const StepState& step = {}, const Turn& turn = {});
  void run(Part part, const StepState& step = {}, const Turn& turn = {}) {
    run(Action{part}, step, turn);
  }
  void set_observer(OpObserver* observer) { observer_ = observer; }
  void synchronize() const { queues_->synchronize(); }
  Queues& queues() { return *queues_; }  // for marks between what run() gives them

  // Where a whole tensor lies. Each micro-batch has its own of a tensor of Lifetime::frame: here
  // and below that of this one.
  void select_micro_batch(int micro_batch) { micro_batch_ = micro_batch; }
  Range range(Tensor t) const { return range(t, micro_batch_); }
  // The address of its first element (of the view's first column); only where
  // DeviceTraits::host_visible.
  std::byte* host(Tensor t) const;
  // Whole tensors to and from host memory, after everything that was asked for; sizes must match.
  void write(Tensor t, std::span<const std::byte> host);
  void read(Tensor t, std::span<std::byte> host) const;
  float read_scalar(Tensor t) const;  // first element of an fp32 tensor
  // One number of Program::report(), from the device.
  double reported(std::string_view slot) const;
  const Program& program() const { return program_; }
  Backend& backend() const { return backend_; }
  std::int64_t arena_bytes() const { return placement_.arena_bytes(); }
  const BoundProgram& bound() const { return bound_; }
  // Bytes of a whole tensor as the backend keeps it.
  std::int64_t bytes(Tensor t) const { return bound_.bytes(t.id); }
  // Of an op of the program; empty where it wants none.
  std::span<std::byte> workspace(const Op& op) const;

 private:
  // Pointers to the operands of a part's ops, with its frames in one of their places.
  struct Operands {
    std::vector<std::byte*> pointers;
    std::vector<KernelArguments> arguments;  // by op of the part
  };
  struct PartOperands {
    Part part;
    std::size_t first_op = 0;
    std::vector<Operands> tables;
    std::vector<std::size_t> by_micro_batch;  // which table
  };

  Range range(Tensor t, int micro_batch) const;
  std::byte* address(Tensor t, int micro_batch) const;
  PartOperands operands_of(Part part);
  Operands operands_of(std::span<const Op> ops, int micro_batch) const;
  void start(const Op& op, std::size_t index, const KernelArguments& arguments, const Turn& turn);

  const Program& program_;
  BoundProgram bound_;
  Placement placement_;
  Backend& backend_;
  std::array<std::unique_ptr<Memory>, kPlaceCount> memories_;  // by place
  std::unique_ptr<Queues> queues_;  // ends before the memory that it works on
  std::vector<Ticket> open_;        // by the ticket of the start
  OpObserver* observer_ = nullptr;
  std::vector<PartOperands> parts_;
  int micro_batch_ = 0;
};

}  // namespace ingot

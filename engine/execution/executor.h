// Runs a program: one arena, one loop over ops. Does nothing clever, so that profiles, traces and
// the hunt for non-finite values are observers of the same loop.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "engine/execution/backend.h"
#include "engine/program/program.h"

namespace ingot {

// Called around every op while set; may read tensors through the executor.
class OpObserver {
 public:
  virtual ~OpObserver() = default;
  virtual void before(const Op&) {}
  virtual void after(const Op& op) = 0;
};

// The kernels of a program on one backend. Making it sets Op::workspace and the bytes of tensors
// in a layout of the backend's own, so it comes before the memory plan.
class BoundProgram {
 public:
  BoundProgram(Program& program, Backend& backend);
  Kernel& kernel(std::size_t op) const { return *kernels_[op]; }

 private:
  std::vector<std::unique_ptr<Kernel>> kernels_;
};

// The second memory, for tensors with Place::offload.
struct OffloadMemory {
  std::int64_t bytes = 0;
  std::filesystem::path folder;  // on the CPU: where its file lies
};

class Executor {
 public:
  // offsets[id]: place of each tensor in an arena of arena_bytes, or in the offload memory;
  // memory/plan.h makes them.
  Executor(const Program& program, BoundProgram bound, std::vector<std::int64_t> offsets,
           std::int64_t arena_bytes, Backend& backend, const OffloadMemory& offload = {});
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Runs the ops of one part in order. Allocates nothing.
  void run(Part part, const StepState& state);
  void set_observer(OpObserver* observer) { observer_ = observer; }

  // Device address of a tensor's first element (of the view's first column).
  std::byte* data(Tensor t) const;
  // Whole tensors to and from host memory; sizes must match.
  void write(Tensor t, std::span<const std::byte> host);
  void read(Tensor t, std::span<std::byte> host) const;
  float read_scalar(Tensor t) const;  // first element of an fp32 tensor
  const Program& program() const { return program_; }
  Backend& backend() const { return backend_; }
  std::int64_t arena_bytes() const { return arena_bytes_; }

 private:
  const Program& program_;
  BoundProgram bound_;
  std::vector<std::int64_t> offsets_;
  std::int64_t arena_bytes_;
  Backend& backend_;
  std::unique_ptr<DeviceMemory> arena_, offload_;
  OpObserver* observer_ = nullptr;
  std::vector<std::byte*> pointers_;        // all operands of all ops, in order
  std::vector<KernelArguments> arguments_;  // by op
};

}  // namespace ingot

// What a device must offer to run programs: memory, copies, and a kernel for each op kind.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <string>

#include "engine/program/program.h"

namespace ingot {

constexpr int kMaxMtpModules = 8;

// The few numbers that change from step to step. Kernels read them at run time, so that a program
// is compiled once.
struct StepState {
  std::int64_t step = 0;         // of the schedule, from 0
  std::int64_t updates = 0;      // applied so far: skipped ones do not count
  std::int64_t micro_step = 0;   // within this update; 0: weight gradients start anew
  std::int64_t micro_steps = 1;  // of this update: after the last the gradients are complete
  std::uint64_t seed = 0;
  double learning_rate = 0;
  float loss_scale = 1;      // factor on every gradient (fp16); the update divides it out
  double target_tokens = 1;  // valid targets in the global batch: the loss is a mean over them
  // The same for each multi-token-prediction module, by depth - 1.
  std::array<double, kMaxMtpModules> mtp_targets{};
  double sequences = 1;         // in the global batch: balance losses are means over them
  double mtp_weight = 0;        // of the loss of each multi-token-prediction module
  double balance_weight = 0;    // weight of the balance losses
  double bias_update_rate = 0;  // of the routers' selection bias, after the update
  bool skip_update = false;     // drop the gradients instead of applying them
  float previous_norm = 0;      // of the last finite update, loss scale divided out; 0: none yet
  float norm_limit = std::numeric_limits<float>::infinity();  // skip when the norm exceeds it
};

// Values of the attribute `first` of an op that writes a weight's gradient before others do:
// overwrite it in the first micro-step of an update, or in each (a gradient that does not outlive
// the micro-step). Absent or 0: add to it.
constexpr double kFirstInUpdate = 1, kFirstInMicroStep = 2;

// Whether such an op overwrites now.
class GradientStart {
 public:
  explicit GradientStart(const Op& op)
      : first_(op.attributes.has("first") ? op.attributes.real("first") : 0) {}
  bool operator()(const StepState& state) const {
    return first_ == kFirstInMicroStep || (first_ == kFirstInUpdate && state.micro_step == 0);
  }

 private:
  double first_;
};

// Pointers of one op's operands, at the first column of each view; null for an absent operand.
struct KernelArguments {
  std::span<std::byte*const> inputs, outputs;
  std::span<std::byte> workspace;

  template <class T>
  const T* input(int i) const {
    return reinterpret_cast<const T*>(inputs[i]);
  }
  template <class T>
  T* output(int i) const {
    return reinterpret_cast<T*>(outputs[i]);
  }
};

// One op, ready to run: attributes read, library primitives made. Running allocates nothing.
class Kernel {
 public:
  virtual ~Kernel() = default;
  // Scratch memory that run() wants; its contents do not survive the op.
  virtual std::int64_t workspace_bytes() const { return 0; }
  // Of an op whose output has a layout of the backend's own (ops/pack_weight): its bytes; binding
  // makes the tensor that long. 0: the program knows.
  virtual std::int64_t output_bytes() const { return 0; }
  virtual void run(const KernelArguments& arguments, const StepState& state) = 0;
};

// A block of device memory; returned when this dies.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual std::byte* data() = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string description() const = 0;
  // Throws Error(device) when this device has no kernel for the op or its dtypes.
  virtual std::unique_ptr<Kernel> make_kernel(const Program& program, const Op& op) = 0;

  // Device memory, zero-filled. Throws Error(budget) when there is not that much.
  virtual std::unique_ptr<DeviceMemory> allocate(std::int64_t bytes) = 0;
  // Zero-filled memory for offloaded tensors, outside the device's own; the CPU's lies in a file in
  // `folder`. Throws Error(device) when there is none.
  virtual std::unique_ptr<DeviceMemory> allocate_offload(std::int64_t bytes,
                                                         const std::filesystem::path& folder) = 0;
  virtual void copy_to_device(std::byte* device, std::span<const std::byte> host) = 0;
  virtual void copy_to_host(std::span<std::byte> host, const std::byte* device) = 0;
  // Waits until everything that was asked for is done.
  virtual void synchronize() = 0;
};

}  // namespace ingot

// What a device must offer to run programs: memory, copies, and a kernel for each op kind.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/execution/machine_peaks.h"
#include "engine/program/program.h"
#include "engine/program/step_state.h"

namespace ingot {

// A block of a device's memory; returned when this dies.
class Memory {
 public:
  virtual ~Memory() = default;
  // In the device's own terms; host code reads and writes there only where
  // DeviceTraits::host_visible.
  virtual std::byte* address() const = 0;
  virtual std::int64_t bytes() const = 0;
};

// How host code names some of it.
struct Range {
  Memory* memory = nullptr;
  std::int64_t offset = 0, bytes = 0;

  Range subrange(std::int64_t first, std::int64_t count) const {
    return {memory, offset + first, count};
  }
};

// Pointers of one op's operands, at the first column of each view; null for an absent operand.
struct KernelArguments {
  std::span<std::byte*const> inputs, outputs;
  std::span<std::byte> workspace;
  const StepState* step = nullptr;  // in the device's memory; null unless OpKind::reads_step

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
  // Of an op whose output has a layout of the backend's own (ops/pack_weight): its bytes.
  // 0: the program knows.
  virtual std::int64_t output_bytes() const { return 0; }
  virtual void run(const KernelArguments& arguments, const Turn& turn) = 0;
  // The next run() on a queue will have these arguments, while the one before it begins: what makes
  // it faster and changes no tensor, as to read a file's pages ahead.
  virtual void prepare(const KernelArguments&) {}
};

// The number-th thing that a queue was given: a value, nothing to keep.
struct Ticket {
  Queue queue = kCompute;
  std::uint64_t number = 0;
};

// One executor's work on a device, used by the executor's thread alone. What is given to a queue
// runs in order; see engine/program/queue.h for the order between queues. A failure is thrown by
// the next call that waits. Its destructor waits for everything.
class Queues {
 public:
  virtual ~Queues() = default;
  // Arguments are copied, what they point at must stay. On compute, bytes are written in order too.
  virtual Ticket enqueue(Queue queue, Kernel& kernel, const KernelArguments& arguments,
                         const Turn& turn) = 0;
  virtual void upload(Range to, std::span<const std::byte> bytes) = 0;  // copied before it returns
  // What compute is given from now on comes after it.
  virtual void await(Ticket ticket) = 0;
  // The host waits for everything.
  virtual void synchronize() = 0;

  // Time stamps, by number from 0: room for so many, taken here.
  virtual void reserve_marks(std::size_t count) = 0;
  // Taken when the queue comes to it.
  virtual void mark(Queue queue, std::size_t slot) = 0;
  // From one mark to another, after synchronize().
  virtual double seconds(std::size_t from, std::size_t to) const = 0;
  // Between two marks of compute nothing else had a noticeable part of the device, as far as the
  // system tells.
  virtual bool quiet(std::size_t from, std::size_t to) const = 0;
};

// What memory counts against.
enum class MemoryKind : std::uint8_t { device, host, disk };
constexpr int kMemoryKinds = 3;
constexpr std::string_view name_of(MemoryKind kind) {
  constexpr std::string_view kNames[] = {"device", "host", "disk"};
  return kNames[static_cast<int>(kind)];
}

// Bytes of one kind; all 0 where a device has none of it.
struct MemoryRoom {
  std::int64_t total = 0;  // what a process alone could have
  std::int64_t free = 0;   // what can still be taken
  std::int64_t taken = 0;  // by this process already: code, libraries, driver, tensors
};
using MemoryLimits = std::array<MemoryRoom, kMemoryKinds>;

// What callers may ask of a device before they use it.
struct DeviceTraits {
  std::string name;           // "cpu, 2 threads, v4_bf16"
  bool host_visible = false;  // the host may dereference its addresses
  // Of compute, what a queue that copies takes from it while it does.
  double copy_share = 0;
  std::array<MemoryKind, kPlaceCount> memory{};  // by place: where its bytes lie
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const DeviceTraits& traits() const = 0;
  // Of the code that makes kernels: a text that another build of it does not have.
  virtual std::string build_id() const = 0;
  // What the device can do at most, measured now. Takes `room` bytes for a moment to read and
  // write, 128 MiB at most; where that is less than the caches hold, it is their speed.
  virtual MachinePeaks peaks(std::int64_t room = std::int64_t{128} << 20) = 0;
  // By MemoryKind. folder: where offloaded tensors would go, or its nearest parent that exists.
  virtual MemoryLimits limits(const std::filesystem::path& folder = {}) const = 0;
  // Throws Error(device) when this device has no kernel for the op or its dtypes.
  virtual std::unique_ptr<Kernel> make_kernel(const Program& program, const Op& op) = 0;

  // Zero-filled memory of that kind; offloaded tensors of the CPU lie in a file in `folder`. Throws
  // Error(budget) when there is not that much, Error(device) when there is no such memory.
  virtual std::unique_ptr<Memory> allocate(Place place, std::int64_t bytes,
                                           const std::filesystem::path& folder = {}) = 0;
  // Between any host memory and the device's; done when they return, from any thread.
  virtual void write(Range to, std::span<const std::byte> host) = 0;
  virtual void read(std::span<std::byte> host, Range from) = 0;
  // starts[q]: how many ops of a program stand on queue q; all memory and threads it will ever take
  // are taken here.
  virtual std::unique_ptr<Queues> open(std::span<const int> starts) = 0;
};

}  // namespace ingot

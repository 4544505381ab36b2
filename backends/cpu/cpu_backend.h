// The backend that is always there: kernels on this machine's cores, memory from the system.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "backends/cpu/isa.h"
#include "backends/cpu/thread_pool.h"
#include "engine/execution/backend.h"
#include "engine/execution/communicator.h"

namespace ingot::cpu {

// What a kernel may keep a reference to.
struct Context {
  ThreadPool& pool;
  Isa isa;
  Communicators* ranks = nullptr;  // none: one process
};

// Kernel tables list their variants by storage type in this order: f32, bf16, f16.
constexpr int float_index(DType dtype) {
  return dtype == DType::f32 ? 0 : dtype == DType::bf16 ? 1 : 2;
}

// One line of the kernel table: how to make the kernel for ops of this kind.
struct KernelEntry {
  std::string_view kind;
  std::unique_ptr<Kernel> (*make)(const Program& program, const Op& op, const Context& context);
};

class CpuBackend final : public Backend {
 public:
  // threads: at least 1. kernels: ops/cpu_kernels.h has the table of all ops. ranks: whom ops of
  // ops/collective talk to; outlives the backend.
  CpuBackend(int threads, std::span<const KernelEntry> kernels, Isa isa = cpu::isa(),
             Communicators* ranks = nullptr);

  const DeviceTraits& traits() const override { return traits_; }
  // The size and time of this program's file, whose kernels they are.
  std::string build_id() const override;
  MachinePeaks peaks(std::int64_t room) override;
  MemoryLimits limits(const std::filesystem::path& folder) const override;
  std::unique_ptr<Kernel> make_kernel(const Program& program, const Op& op) override;
  std::unique_ptr<Memory> allocate(Place place, std::int64_t bytes,
                                   const std::filesystem::path& folder = {}) override;
  void write(Range to, std::span<const std::byte> host) override;
  void read(std::span<std::byte> host, Range from) override;
  std::unique_ptr<Queues> open(std::span<const int> starts) override;

  ThreadPool& pool() { return pool_; }

 private:
  ThreadPool pool_;
  ThreadPool alone_{1};  // for kernels that run beside it, on the thread of their queue
  Isa isa_;
  Communicators* ranks_;
  DeviceTraits traits_;
  std::vector<KernelEntry> kernels_;
};

// A kernel made of a function: run(arguments, turn).
template <class Run>
std::unique_ptr<Kernel> make_kernel(std::int64_t workspace_bytes, Run run) {
  class Lambda final : public Kernel {
   public:
    Lambda(std::int64_t bytes, Run run) : bytes_(bytes), run_(std::move(run)) {}
    std::int64_t workspace_bytes() const override { return bytes_; }
    void run(const KernelArguments& arguments, const Turn& turn) override { run_(arguments, turn); }

   private:
    std::int64_t bytes_;
    Run run_;
  };
  return std::make_unique<Lambda>(workspace_bytes, std::move(run));
}

}  // namespace ingot::cpu

#include "backends/cpu/cpu_backend.h"

#include <cstring>
#include <string>

#include "engine/error.h"
#include "memory/arena.h"

namespace ingot::cpu {

CpuBackend::CpuBackend(int threads, std::span<const KernelEntry> kernels, Isa isa)
    : pool_(threads), isa_(isa), kernels_(kernels.begin(), kernels.end()) {}

std::string CpuBackend::description() const {
  return "cpu, " + std::to_string(pool_.threads()) + " threads, " + std::string(isa_name(isa_));
}

std::unique_ptr<Kernel> CpuBackend::make_kernel(const Program& program, const Op& op) {
  for (const KernelEntry& entry : kernels_) {
    if (entry.kind == op.kind->name) return entry.make(program, op, Context{pool_, isa_});
  }
  throw Error(ErrorCode::device,
              "the cpu backend has no kernel for op '" + std::string(op.kind->name) + "'", op.name);
}

namespace {

class ArenaMemory final : public DeviceMemory {
 public:
  explicit ArenaMemory(std::int64_t bytes) : arena_(bytes) {}
  std::byte* data() override { return arena_.data(); }

 private:
  Arena arena_;
};

}  // namespace

std::unique_ptr<DeviceMemory> CpuBackend::allocate(std::int64_t bytes) {
  return std::make_unique<ArenaMemory>(bytes);
}

void CpuBackend::copy_to_device(std::byte* device, std::span<const std::byte> host) {
  std::memcpy(device, host.data(), host.size());
}

void CpuBackend::copy_to_host(std::span<std::byte> host, const std::byte* device) {
  std::memcpy(host.data(), device, host.size());
}

}  // namespace ingot::cpu

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

std::byte* CpuBackend::allocate(std::int64_t bytes) { return map_memory(bytes); }

void CpuBackend::free(std::byte* memory, std::int64_t bytes) { unmap_memory(memory, bytes); }

void CpuBackend::copy_to_device(std::byte* device, std::span<const std::byte> host) {
  std::memcpy(device, host.data(), host.size());
}

void CpuBackend::copy_to_host(std::span<std::byte> host, const std::byte* device) {
  std::memcpy(host.data(), device, host.size());
}

}  // namespace ingot::cpu

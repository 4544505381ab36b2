#include "backends/cpu/cpu_backend.h"

#include <cstring>
#include <string>
#include <utility>

#include "backends/host/arena.h"
#include "backends/host/file_arena.h"
#include "engine/base/error.h"

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

namespace {

// Takes itself off the backend's books when it dies.
class MappedOffload final : public DeviceMemory {
 public:
  MappedOffload(FileArena arena, std::span<const std::byte>& book)
      : arena_(std::move(arena)), book_(book) {
    book_ = {arena_.data(), static_cast<std::size_t>(arena_.size())};
  }
  ~MappedOffload() override {
    if (book_.data() == arena_.data()) book_ = {};
  }
  std::byte* data() override { return arena_.data(); }

 private:
  FileArena arena_;
  std::span<const std::byte>& book_;
};

bool within(std::span<const std::byte> memory, const std::byte* address) {
  return address >= memory.data() && address < memory.data() + memory.size();
}

}  // namespace

std::unique_ptr<DeviceMemory> CpuBackend::allocate_offload(std::int64_t bytes,
                                                           const std::filesystem::path& folder) {
  return std::make_unique<MappedOffload>(FileArena(bytes, folder), offload_);
}

void CpuBackend::copy_to_device(std::byte* device, std::span<const std::byte> host) {
  std::memcpy(device, host.data(), host.size());
  if (within(offload_, device)) release_pages({device, host.size()});
}

void CpuBackend::copy_to_host(std::span<std::byte> host, const std::byte* device) {
  std::memcpy(host.data(), device, host.size());
  if (within(offload_, device)) release_pages({device, host.size()});
}

}  // namespace ingot::cpu

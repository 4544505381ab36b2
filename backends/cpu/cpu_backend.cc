#include "backends/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "backends/cpu/cpu_queues.h"
#include "backends/cpu/peak.h"
#include "backends/host/arena.h"
#include "backends/host/file_arena.h"
#include "backends/host/system_memory.h"
#include "engine/base/error.h"

namespace ingot::cpu {

namespace {

class ArenaMemory final : public Memory {
 public:
  explicit ArenaMemory(std::int64_t bytes) : arena_(bytes) {}
  std::byte* address() const override { return arena_.data(); }
  std::int64_t bytes() const override { return arena_.size(); }

 private:
  Arena arena_;
};

class FileMemory final : public Memory {
 public:
  FileMemory(std::int64_t bytes, const std::filesystem::path& folder) : arena_(bytes, folder) {}
  std::byte* address() const override { return arena_.data(); }
  std::int64_t bytes() const override { return arena_.size(); }

 private:
  FileArena arena_;
};

std::span<std::byte> bytes_of(const Range& range) {
  return {range.memory->address() + range.offset, static_cast<std::size_t>(range.bytes)};
}

bool is_offloaded(const Range& range) {
  return dynamic_cast<const FileMemory*>(range.memory) != nullptr;
}

}  // namespace

CpuBackend::CpuBackend(int threads, std::span<const KernelEntry> kernels, Isa isa,
                       Communicators* ranks)
    : pool_(threads),
      isa_(isa),
      ranks_(ranks),
      traits_{.name = "cpu, " + std::to_string(threads) + " threads, " + std::string(isa_name(isa)),
              .host_visible = true,
              .copy_share = 1.0 / threads,
              .memory = {MemoryKind::host, MemoryKind::disk}},
      kernels_(kernels.begin(), kernels.end()) {}

std::unique_ptr<Kernel> CpuBackend::make_kernel(const Program& program, const Op& op) {
  for (const KernelEntry& entry : kernels_) {
    if (entry.kind == op.kind->name) {
      return entry.make(program, op, Context{op.queue == kCompute ? pool_ : alone_, isa_, ranks_});
    }
  }
  throw Error(ErrorCode::device,
              "the cpu backend has no kernel for op '" + std::string(op.kind->name) + "'", op.name);
}

std::string CpuBackend::build_id() const {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return "";
  const auto size = std::filesystem::file_size(program, error);
  const auto time = std::filesystem::last_write_time(program, error).time_since_epoch().count();
  return std::to_string(size) + " " + std::to_string(time);
}

MachinePeaks CpuBackend::peaks(std::int64_t room) {
  constexpr std::int64_t kLeast = 1 << 20, kMost = 128 << 20;  // more than caches hold
  MachinePeaks peaks{.f32_flops = measured_peak_gflops(DType::f32, pool_) * 1e9,
                     .bf16_flops = measured_peak_gflops(DType::bf16, pool_) * 1e9,
                     .int8_flops = measured_peak_gflops(DType::i8, pool_) * 1e9};
  if (room <= 0) return peaks;
  const std::int64_t bytes = std::clamp(room, kLeast, kMost);
  const Arena arena(bytes);
  const std::span<std::byte> memory(arena.data(), static_cast<std::size_t>(bytes));
  std::ranges::fill(memory, std::byte{1});
  peaks.bytes_per_second =
      std::max(measured_read_gigabytes(memory, pool_), measured_update_gigabytes(memory, pool_)) *
      1e9;
  return peaks;
}

MemoryLimits CpuBackend::limits(const std::filesystem::path& folder) const {
  const SystemMemory memory = read_system_memory();
  MemoryLimits limits;
  limits[static_cast<int>(MemoryKind::host)] = {
      .total = memory.limit(), .free = memory.room(), .taken = resident_bytes()};
  if (folder.empty()) return limits;
  std::error_code error;
  const std::filesystem::space_info disk = std::filesystem::space(folder, error);
  if (error) return limits;
  limits[static_cast<int>(MemoryKind::disk)] = {.total = static_cast<std::int64_t>(disk.capacity),
                                                .free = static_cast<std::int64_t>(disk.available)};
  return limits;
}

std::unique_ptr<Queues> CpuBackend::open(std::span<const int> starts) {
  return std::make_unique<CpuQueues>(starts);
}

std::unique_ptr<Memory> CpuBackend::allocate(Place place, std::int64_t bytes,
                                             const std::filesystem::path& folder) {
  if (place == Place::offload) return std::make_unique<FileMemory>(bytes, folder);
  return std::make_unique<ArenaMemory>(bytes);
}

void CpuBackend::write(Range to, std::span<const std::byte> host) {
  const Range written = to.subrange(0, static_cast<std::int64_t>(host.size()));
  if (is_offloaded(to)) return write_offloaded(bytes_of(written).data(), host);
  std::memcpy(bytes_of(written).data(), host.data(), host.size());
}

void CpuBackend::read(std::span<std::byte> host, Range from) {
  const Range read = from.subrange(0, static_cast<std::int64_t>(host.size()));
  if (is_offloaded(from)) return read_offloaded(bytes_of(read).data(), host);
  std::memcpy(host.data(), bytes_of(read).data(), host.size());
}

}  // namespace ingot::cpu

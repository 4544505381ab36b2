#include <algorithm>
#include <cstddef>
#include <span>

#include "backends/cpu/peak.h"
#include "engine/error.h"
#include "memory/arena.h"
#include "ops/cpu_kernels.h"
#include "tools/command.h"

namespace ingot {

int thread_count(std::int64_t configured) {
  return configured > 0 ? static_cast<int>(configured) : cpu::default_threads();
}

double measured_peak_flops(const RunConfig& config, int threads) {
  const ComputeType compute = config.precision.compute;
  const bool bf16 = compute == ComputeType::bf16 || compute == ComputeType::int8;
  cpu::ThreadPool pool(threads);
  return cpu::measured_peak_gflops(bf16 ? DType::bf16 : DType::f32, pool) * 1e9;
}

MachinePeaks measured_peaks(int threads) {
  constexpr std::size_t kMemory = 128 << 20;  // more than caches hold
  cpu::ThreadPool pool(threads);
  const Arena arena(kMemory);
  const std::span<std::byte> memory(arena.data(), kMemory);
  std::fill(memory.begin(), memory.end(), std::byte{1});
  return {.f32_flops = cpu::measured_peak_gflops(DType::f32, pool) * 1e9,
          .bf16_flops = cpu::measured_peak_gflops(DType::bf16, pool) * 1e9,
          .int8_flops = cpu::measured_peak_gflops(DType::i8, pool) * 1e9,
          .bytes_per_second = std::max(cpu::measured_read_gigabytes(memory, pool),
                                       cpu::measured_update_gigabytes(memory, pool)) *
                              1e9};
}

std::unique_ptr<Backend> make_backend(Device device, int threads) {
  if (device == Device::cuda) {
    throw Error(ErrorCode::device, "this build has no CUDA backend", "device",
                "set \"device\": \"cpu\"");
  }
  return std::make_unique<cpu::CpuBackend>(threads, cpu::all_cpu_kernels());
}

}  // namespace ingot

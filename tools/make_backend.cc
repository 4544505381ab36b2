#include <malloc.h>
#include <pthread.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>

#include "backends/cpu/peak.h"
#include "backends/host/arena.h"
#include "engine/base/error.h"
#include "ops/cpu_kernels.h"
#include "planning/machine/calibration.h"
#include "tools/command.h"

namespace ingot {
namespace {

// Address space that nobody uses counts against RLIMIT_AS and RLIMIT_DATA all the same: glibc would
// reserve 64 MiB of heap for every thread that frees something, and stacks of 8 MiB. Threads here
// run kernels, which take nothing from the heap and little from the stack.
void reserve_little_for_threads() {
#ifdef __SANITIZE_THREAD__
  constexpr std::size_t kStackBytes = 8 << 20;  // the sanitizer's state of a thread lies there too
#else
  constexpr std::size_t kStackBytes = 512 << 10;
#endif
  mallopt(M_ARENA_MAX, 1);
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return;
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

}  // namespace

namespace {

constexpr const char* kDeviceHelp = "What computes: cpu or cuda";

}  // namespace

void add_run_config(CLI::App& command, std::string& config, std::vector<std::string>& overrides) {
  command.add_option("RUN.json", config, "Run config")->required();
  command.add_option("--set", overrides, "Change a key of the config: a.b=value");
  add_device_flag(command, overrides);
}

void add_device_flag(CLI::App& command, std::vector<std::string>& overrides) {
  command
      .add_option_function<std::string>(
          "--device",
          [&overrides](const std::string& name) { overrides.push_back("device=" + name); },
          kDeviceHelp)
      ->check(CLI::IsMember({"cpu", "cuda"}));
}

void add_device_flag(CLI::App& command, std::optional<Device>& device) {
  command
      .add_option_function<std::string>(
          "--device",
          [&device](const std::string& name) {
            device = name == "cuda" ? Device::cuda : Device::cpu;
          },
          kDeviceHelp)
      ->check(CLI::IsMember({"cpu", "cuda"}));
}

void warn(const std::string& line) { std::fprintf(stderr, "ingot: warning: %s\n", line.c_str()); }

int thread_count(std::int64_t configured) {
  return configured > 0 ? static_cast<int>(configured) : cpu::default_threads();
}

double measured_peak_flops(const RunConfig& config, const Backend& backend, int threads) {
  const ComputeType compute = config.precision.compute;
  const bool bf16 = compute == ComputeType::bf16 || compute == ComputeType::int8;
  cpu::ThreadPool pool(threads);
  const DType type = bf16 ? DType::bf16 : DType::f32;
  return best_peak_flops(backend, name_of(type), cpu::measured_peak_gflops(type, pool) * 1e9);
}

MachinePeaks measured_peaks(int threads, std::int64_t room) {
  constexpr std::int64_t kLeast = 1 << 20, kMost = 128 << 20;  // more than caches hold
  const std::int64_t bytes = std::clamp(room, kLeast, kMost);
  cpu::ThreadPool pool(threads);
  const Arena arena(bytes);
  const std::span<std::byte> memory(arena.data(), static_cast<std::size_t>(bytes));
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
  reserve_little_for_threads();
  return std::make_unique<cpu::CpuBackend>(threads, cpu::all_cpu_kernels());
}

}  // namespace ingot

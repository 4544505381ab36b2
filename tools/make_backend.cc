#include <malloc.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "backends/cpu/cpu_backend.h"
#include "engine/base/error.h"
#include "ops/cpu_kernels.h"
#include "planning/machine/calibration.h"
#include "tools/command.h"

namespace ingot {
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

void warn_of_settings(const RunConfig& config) {
  for (const std::string& line : settings_without_effect(config)) warn(line);
}

int thread_count(std::int64_t configured) {
  return configured > 0 ? static_cast<int>(configured) : cpu::default_threads();
}

double measured_peak_flops(const RunConfig& config, Backend& backend) {
  const ComputeType compute = config.precision.compute;
  const bool bf16 = compute == ComputeType::bf16 || compute == ComputeType::int8;
  const MachinePeaks peaks = backend.peaks(/*room=*/0);
  return best_peak_flops(backend, name_of(bf16 ? DType::bf16 : DType::f32),
                         bf16 ? peaks.bf16_flops : peaks.f32_flops);
}

std::unique_ptr<Backend> make_backend(Device device, int threads, Communicators* ranks) {
  if (device == Device::cuda) {
    throw Error(ErrorCode::device, "this build has no CUDA backend", "device",
                "set \"device\": \"cpu\"");
  }
  // Glibc would reserve 64 MiB of address space for the heap of every thread that frees something,
  // and RLIMIT_AS and RLIMIT_DATA count them. Threads here take nothing from the heap.
  mallopt(M_ARENA_MAX, 1);
  return std::make_unique<cpu::CpuBackend>(threads, cpu::all_cpu_kernels(), cpu::isa(), ranks);
}

}  // namespace ingot

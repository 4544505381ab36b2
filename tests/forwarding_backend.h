// A backend that does what the CPU's does: tests override the function they look at.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "backends/cpu/cpu_backend.h"
#include "tests/tiny_run.h"

namespace ingot {

class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(int threads) : cpu_(tiny_backend(threads)) {}

  std::string description() const override { return cpu_.description(); }
  std::unique_ptr<Kernel> make_kernel(const Program& program, const Op& op) override {
    return cpu_.make_kernel(program, op);
  }
  std::unique_ptr<DeviceMemory> allocate(std::int64_t bytes) override {
    return cpu_.allocate(bytes);
  }
  std::unique_ptr<DeviceMemory> allocate_offload(std::int64_t bytes,
                                                 const std::filesystem::path& folder) override {
    return cpu_.allocate_offload(bytes, folder);
  }
  void copy_to_device(std::byte* device, std::span<const std::byte> host) override {
    cpu_.copy_to_device(device, host);
  }
  void copy_to_host(std::span<std::byte> host, const std::byte* device) override {
    cpu_.copy_to_host(host, device);
  }
  void synchronize() override { cpu_.synchronize(); }

 private:
  cpu::CpuBackend cpu_;
};

}  // namespace ingot

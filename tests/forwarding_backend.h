// A backend that does what the CPU's does: tests override the function they look at.
#pragma once

#include <memory>
#include <span>

#include "backends/cpu/cpu_backend.h"
#include "tests/tiny_run.h"

namespace ingot {

class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(int threads) : cpu_(tiny_backend(threads)) {}

  const DeviceTraits& traits() const override { return cpu_.traits(); }
  std::string build_id() const override { return cpu_.build_id(); }
  MachinePeaks peaks(std::int64_t room) override { return cpu_.peaks(room); }
  MemoryLimits limits(const std::filesystem::path& folder) const override {
    return cpu_.limits(folder);
  }
  std::unique_ptr<Kernel> make_kernel(const Program& program, const Op& op) override {
    return cpu_.make_kernel(program, op);
  }
  std::unique_ptr<Memory> allocate(Place place, std::int64_t bytes,
                                   const std::filesystem::path& folder = {}) override {
    return cpu_.allocate(place, bytes, folder);
  }
  void write(Range to, std::span<const std::byte> host) override { cpu_.write(to, host); }
  void read(std::span<std::byte> host, Range from) override { cpu_.read(host, from); }
  std::unique_ptr<Queues> open(std::span<const int> starts) override { return cpu_.open(starts); }

 private:
  cpu::CpuBackend cpu_;
};

}  // namespace ingot

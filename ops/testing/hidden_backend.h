// A backend whose memory the host cannot touch, as a GPU's: its pages are open only while the CPU
// backend below it runs a kernel or copies, so that a test that looks at an address dies.
#pragma once

#include <sys/mman.h>

#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "backends/cpu/cpu_backend.h"

namespace ingot {

class HiddenBackend final : public Backend {
 public:
  // kernels: of the CPU, which do the work.
  explicit HiddenBackend(std::span<const cpu::KernelEntry> kernels) : cpu_(1, kernels) {
    traits_ = cpu_.traits();
    traits_.host_visible = false;
  }

  const DeviceTraits& traits() const override { return traits_; }
  std::string build_id() const override { return cpu_.build_id(); }
  MachinePeaks peaks(std::int64_t room) override { return cpu_.peaks(room); }
  MemoryLimits limits(const std::filesystem::path& folder) const override {
    return cpu_.limits(folder);
  }
  std::unique_ptr<Kernel> make_kernel(const Program& program, const Op& op) override {
    return cpu_.make_kernel(program, op);
  }
  std::unique_ptr<Memory> allocate(Place, std::int64_t bytes,
                                   const std::filesystem::path& = {}) override {
    return std::make_unique<Pages>(*this, bytes);
  }
  void write(Range to, std::span<const std::byte> host) override {
    const Open open(*this);
    cpu_.write(to, host);
  }
  void read(std::span<std::byte> host, Range from) override {
    const Open open(*this);
    cpu_.read(host, from);
  }
  std::unique_ptr<Queues> open(std::span<const int> starts) override {
    return std::make_unique<Line>(*this, cpu_.open(starts));
  }

 private:
  class Pages final : public Memory {
   public:
    Pages(HiddenBackend& owner, std::int64_t bytes) : owner_(owner), bytes_(bytes) {
      void* const pages = mmap(nullptr, size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (pages == MAP_FAILED) throw std::runtime_error("mmap");
      address_ = static_cast<std::byte*>(pages);
      owner_.memories_.push_back(this);
    }
    ~Pages() override {
      std::erase(owner_.memories_, this);
      munmap(address_, size());
    }
    std::byte* address() const override { return address_; }
    std::int64_t bytes() const override { return bytes_; }
    void protect(int how) const {
      if (mprotect(address_, size(), how) != 0) throw std::runtime_error("mprotect");
    }

   private:
    std::size_t size() const { return static_cast<std::size_t>(bytes_ > 0 ? bytes_ : 1); }

    HiddenBackend& owner_;
    std::int64_t bytes_;
    std::byte* address_ = nullptr;
  };

  // Memory is open while this lives.
  class Open {
   public:
    explicit Open(const HiddenBackend& backend) : backend_(backend) {
      for (const Pages* pages : backend_.memories_) pages->protect(PROT_READ | PROT_WRITE);
    }
    ~Open() {
      for (const Pages* pages : backend_.memories_) pages->protect(PROT_NONE);
    }
    Open(const Open&) = delete;

   private:
    const HiddenBackend& backend_;
  };

  // One thing at a time, whatever its queue.
  class Line final : public Queues {
   public:
    Line(const HiddenBackend& backend, std::unique_ptr<Queues> cpu)
        : backend_(backend), cpu_(std::move(cpu)) {}
    Ticket enqueue(Queue queue, Kernel& kernel, const KernelArguments& arguments,
                   const Turn& turn) override {
      const Open open(backend_);
      const Ticket ticket = cpu_->enqueue(queue, kernel, arguments, turn);
      cpu_->synchronize();
      return ticket;
    }
    void upload(Range to, std::span<const std::byte> bytes) override {
      const Open open(backend_);
      cpu_->upload(to, bytes);
      cpu_->synchronize();
    }
    void await(Ticket ticket) override { cpu_->await(ticket); }
    void synchronize() override { cpu_->synchronize(); }
    void reserve_marks(std::size_t count) override { cpu_->reserve_marks(count); }
    void mark(Queue queue, std::size_t slot) override { cpu_->mark(queue, slot); }
    double seconds(std::size_t from, std::size_t to) const override {
      return cpu_->seconds(from, to);
    }
    bool quiet(std::size_t from, std::size_t to) const override { return cpu_->quiet(from, to); }

   private:
    const HiddenBackend& backend_;
    std::unique_ptr<Queues> cpu_;
  };

  cpu::CpuBackend cpu_;
  DeviceTraits traits_;
  std::vector<Pages*> memories_;
};

}  // namespace ingot

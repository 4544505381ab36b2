#include "backends/cpu/cpu_backend.h"

#include <cstring>
#include <string>
#include <utility>

#include "backends/cpu/queue_thread.h"
#include "backends/host/arena.h"
#include "backends/host/file_arena.h"
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

// What is offloaded is to stay on the disk: pages that a copy touched are let go.
void let_go(const Range& range) {
  if (dynamic_cast<const FileMemory*>(range.memory) != nullptr) release_pages(bytes_of(range));
}

}  // namespace

CpuBackend::CpuBackend(int threads, std::span<const KernelEntry> kernels, Isa isa)
    : pool_(threads),
      isa_(isa),
      traits_{.name = "cpu, " + std::to_string(threads) + " threads, " + std::string(isa_name(isa)),
              .host_visible = true},
      kernels_(kernels.begin(), kernels.end()) {}

std::unique_ptr<Kernel> CpuBackend::make_kernel(const Program& program, const Op& op) {
  for (const KernelEntry& entry : kernels_) {
    if (entry.kind == op.kind->name) {
      return entry.make(program, op, Context{op.queue == kCompute ? pool_ : alone_, isa_});
    }
  }
  throw Error(ErrorCode::device,
              "the cpu backend has no kernel for op '" + std::string(op.kind->name) + "'", op.name);
}

namespace {

// Compute is the caller's thread; every other queue that is used has one of its own.
class CpuQueues final : public Queues {
 public:
  explicit CpuQueues(std::span<const int> starts) : threads_(starts.size()) {
    for (std::size_t queue = 1; queue < starts.size(); ++queue) {
      if (starts[queue] > 0) threads_[queue] = std::make_unique<QueueThread>(starts[queue]);
    }
  }

  Ticket enqueue(Queue queue, Kernel& kernel, const KernelArguments& arguments,
                 const Turn& turn) override {
    if (queue != kCompute) return {queue, threads_[queue]->give(kernel, arguments, turn)};
    kernel.run(arguments, turn);
    return {};
  }
  void upload(Range to, std::span<const std::byte> bytes) override {
    std::memcpy(to.memory->address() + to.offset, bytes.data(), bytes.size());
  }
  void await(Ticket ticket) override { threads_[ticket.queue]->wait(ticket.number); }
  void synchronize() override {
    for (const auto& thread : threads_) {
      if (thread) thread->wait(thread->given());
    }
  }

 private:
  std::vector<std::unique_ptr<QueueThread>> threads_;  // by queue; none: nothing is given
};

}  // namespace

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
  std::memcpy(bytes_of(written).data(), host.data(), host.size());
  let_go(written);
}

void CpuBackend::read(std::span<std::byte> host, Range from) {
  const Range read = from.subrange(0, static_cast<std::int64_t>(host.size()));
  std::memcpy(host.data(), bytes_of(read).data(), host.size());
  let_go(read);
}

}  // namespace ingot::cpu

#include "ops/transfer/transfer_cpu.h"

#include <algorithm>

#include "backends/host/file_arena.h"

namespace ingot::cpu {
namespace {

// Copied at a time.
constexpr std::int64_t kSlice = 1 << 20;

class Fetch final : public Kernel {
 public:
  Fetch(std::int64_t bytes, ThreadPool& pool) : bytes_(bytes), pool_(pool) {}

  void run(const KernelArguments& arguments, const Turn&) override {
    pool_.parallel_for((bytes_ + kSlice - 1) / kSlice, [&](std::int64_t slice, int) {
      const std::int64_t first = slice * kSlice, count = std::min(kSlice, bytes_ - first);
      read_offloaded(arguments.inputs[0] + first,
                     {arguments.outputs[0] + first, static_cast<std::size_t>(count)});
    });
  }
  void prepare(const KernelArguments& arguments) override {
    read_ahead({arguments.inputs[0], static_cast<std::size_t>(bytes_)});
  }

 private:
  std::int64_t bytes_;
  ThreadPool& pool_;
};

std::unique_ptr<Kernel> make_fetch(const Program& program, const Op& op, const Context& context) {
  return std::make_unique<Fetch>(program.info(op.outputs[0]).bytes(), context.pool);
}

std::unique_ptr<Kernel> make_store(const Program& program, const Op& op, const Context& context) {
  const std::int64_t bytes = program.info(op.inputs[0]).bytes();
  ThreadPool& pool = context.pool;
  return make_kernel(0, [=, &pool](const KernelArguments& arguments, const Turn&) {
    pool.parallel_for((bytes + kSlice - 1) / kSlice, [&](std::int64_t slice, int) {
      const std::int64_t first = slice * kSlice, count = std::min(kSlice, bytes - first);
      write_offloaded(arguments.outputs[0] + first,
                      {arguments.inputs[0] + first, static_cast<std::size_t>(count)});
    });
  });
}

}  // namespace

std::span<const KernelEntry> transfer_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"fetch", make_fetch}, {"store", make_store}};
  return kEntries;
}

}  // namespace ingot::cpu

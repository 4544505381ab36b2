#include "backends/cpu/cpu_queues.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace ingot::cpu {
namespace {

// Of the time between two marks. Measured on two cores: 0.00 alone, 0.5 and more beside two
// compilers.
constexpr double kMostWaiting = 0.05;
// A start, and the marks around it.
constexpr int kItemsOfAStart = 3;

}  // namespace

CpuQueues::CpuQueues(std::span<const int> starts) : threads_(starts.size()) {
  for (std::size_t queue = 1; queue < starts.size(); ++queue) {
    if (starts[queue] == 0) continue;
    threads_[queue] = std::make_unique<QueueThread>(kItemsOfAStart * starts[queue]);
  }
}

Ticket CpuQueues::enqueue(Queue queue, Kernel& kernel, const KernelArguments& arguments,
                          const Turn& turn) {
  if (queue != kCompute) return {queue, threads_[queue]->give(kernel, arguments, turn)};
  kernel.run(arguments, turn);
  return {};
}

void CpuQueues::upload(Range to, std::span<const std::byte> bytes) {
  std::memcpy(to.memory->address() + to.offset, bytes.data(), bytes.size());
}

void CpuQueues::synchronize() {
  for (const auto& thread : threads_) {
    if (thread) thread->wait(thread->given());
  }
}

void CpuQueues::reserve_marks(std::size_t count) {
  synchronize();
  stamps_.assign(count, {});
  scheduler_ = FileDescriptor(open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
}

// A mark takes a while itself: seconds() leave that out.
void CpuQueues::mark(Queue queue, std::size_t slot) {
  Stamp& stamp = stamps_[slot];
  if (queue != kCompute) return threads_[queue]->mark(stamp);
  stamp.begin = Stamp::now();
  stamp.waited = seconds_without_a_core();
  stamp.end = Stamp::now();
}

double CpuQueues::seconds(std::size_t from, std::size_t to) const {
  return stamps_[to].begin - stamps_[from].end;
}

bool CpuQueues::quiet(std::size_t from, std::size_t to) const {
  return stamps_[to].waited - stamps_[from].waited <= kMostWaiting * seconds(from, to);
}

double CpuQueues::seconds_without_a_core() const {
  // "NANOSECONDS ON A CORE, NANOSECONDS READY, TIMES SCHEDULED"
  char text[96];
  const ssize_t bytes = scheduler_.is_open() ? pread(scheduler_.number(), text, 95, 0) : 0;
  if (bytes <= 0) return 0;
  text[bytes] = 0;
  const char* const waited = std::strchr(text, ' ');
  return waited == nullptr ? 0 : static_cast<double>(std::strtoll(waited, nullptr, 10)) * 1e-9;
}

}  // namespace ingot::cpu

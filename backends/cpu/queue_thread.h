// A thread that runs kernels of one queue, in order, beside the caller.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <vector>

#include "engine/base/thread.h"
#include "engine/execution/backend.h"

namespace ingot::cpu {

// When a queue came to a mark.
struct Stamp {
  double begin = 0, end = 0;  // seconds of the steady clock: of taking it
  double waited = 0;          // of compute: CpuQueues::seconds_without_a_core()

  static double now();
};

class QueueThread {
 public:
  // most: kernels that may be given and not yet be done; more wait in give(). Throws Error(device)
  // when the system gives no thread.
  explicit QueueThread(int most);
  ~QueueThread();  // after everything that was given
  QueueThread(const QueueThread&) = delete;

  // Returns its number, from 1.
  std::uint64_t give(Kernel& kernel, const KernelArguments& arguments, const Turn& turn);
  // In order with the kernels; to be read after a wait for what is given later, or now.
  void mark(Stamp& stamp);
  // Until number n is done; looks for a short while, then sleeps. Throws what a kernel threw.
  void wait(std::uint64_t number);
  std::uint64_t given() const { return given_; }

 private:
  struct Item {
    Kernel* kernel = nullptr;  // none: a mark, or the end
    Stamp* stamp = nullptr;
    KernelArguments arguments;
    Turn turn;
  };
  std::uint64_t give(const Item& item);
  void run();
  // Tells the next kernel after number n, if it was given already.
  void prepare_after(std::uint64_t number);

  std::vector<Item> ring_;
  std::uint64_t given_ = 0;  // of the giving thread
  std::atomic<std::uint64_t> published_{0}, done_{0};
  std::exception_ptr failure_;  // the first; written before done_ says so
  std::atomic<bool> failed_{false};
  Thread thread_;
};

}  // namespace ingot::cpu

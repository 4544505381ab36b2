// A thread that runs kernels of one queue, in order, beside the caller.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

#include "engine/execution/backend.h"

namespace ingot::cpu {

class QueueThread {
 public:
  // most: kernels that may be given and not yet be done; more wait in give(). Throws Error(device)
  // when the system gives no thread.
  explicit QueueThread(int most);
  ~QueueThread();  // after everything that was given
  QueueThread(const QueueThread&) = delete;

  // Returns its number, from 1.
  std::uint64_t give(Kernel& kernel, const KernelArguments& arguments, const Turn& turn);
  // Until number n is done; looks for a short while, then sleeps. Throws what a kernel threw.
  void wait(std::uint64_t number);
  std::uint64_t given() const { return given_; }

 private:
  struct Item {
    Kernel* kernel = nullptr;  // none: the end
    KernelArguments arguments;
    Turn turn;
  };
  void run();

  std::vector<Item> ring_;
  std::uint64_t given_ = 0;  // of the giving thread
  std::atomic<std::uint64_t> published_{0}, done_{0};
  std::exception_ptr failure_;  // the first; written before done_ says so
  std::atomic<bool> failed_{false};
  std::thread thread_;
};

}  // namespace ingot::cpu

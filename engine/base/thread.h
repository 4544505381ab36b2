// A thread of this program's own, with a small stack. Address space that nobody uses counts against
// RLIMIT_AS and RLIMIT_DATA all the same, and the system's default is 8 MiB a thread.
#pragma once

#include <pthread.h>

#include <functional>

namespace ingot {

class Thread {
 public:
  Thread() = default;  // none
  // Runs `work` on a stack of 512 KiB: for loops over memory that is there. `work` must not throw.
  // Throws std::system_error when the system gives no more threads.
  explicit Thread(std::function<void()> work);
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;
  ~Thread() { join(); }

  // Waits until it is done; nothing where there is none.
  void join();

 private:
  pthread_t thread_{};
  bool running_ = false;
};

}  // namespace ingot

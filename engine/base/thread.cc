#include "engine/base/thread.h"

#include <cstddef>
#include <memory>
#include <system_error>
#include <utility>

namespace ingot {
namespace {

#ifdef __SANITIZE_THREAD__
constexpr std::size_t kStackBytes = 8 << 20;  // the sanitizer's state of a thread lies there too
#else
constexpr std::size_t kStackBytes = 512 << 10;
#endif

extern "C" void* run_thread(void* work) {
  const std::unique_ptr<std::function<void()>> owned(static_cast<std::function<void()>*>(work));
  (*owned)();
  return nullptr;
}

}  // namespace

Thread::Thread(std::function<void()> work) {
  auto owned = std::make_unique<std::function<void()>>(std::move(work));
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error == 0) {
    pthread_attr_setstacksize(&attributes, kStackBytes);
    error = pthread_create(&thread_, &attributes, run_thread, owned.get());
    pthread_attr_destroy(&attributes);
  }
  if (error != 0) throw std::system_error(error, std::generic_category(), "cannot start a thread");
  owned.release();
  running_ = true;
}

Thread::Thread(Thread&& other) noexcept
    : thread_(other.thread_), running_(std::exchange(other.running_, false)) {}

Thread& Thread::operator=(Thread&& other) noexcept {
  std::swap(thread_, other.thread_);
  std::swap(running_, other.running_);
  return *this;
}

void Thread::join() {
  if (!std::exchange(running_, false)) return;
  pthread_join(thread_, nullptr);
}

}  // namespace ingot

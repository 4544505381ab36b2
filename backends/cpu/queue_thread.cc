#include "backends/cpu/queue_thread.h"

#include <chrono>
#include <system_error>

#include "engine/base/error.h"

namespace ingot::cpu {
namespace {

constexpr std::chrono::microseconds kSpin{30};

// Returns when word is at least `least`: looks for a short while, then sleeps.
void wait_until(const std::atomic<std::uint64_t>& word, std::uint64_t least) {
  const auto until = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (word.load(std::memory_order_acquire) >= least) return;
      __builtin_ia32_pause();
    }
  } while (std::chrono::steady_clock::now() < until);
  for (std::uint64_t now = word.load(std::memory_order_acquire); now < least;
       now = word.load(std::memory_order_acquire)) {
    word.wait(now, std::memory_order_acquire);
  }
}

}  // namespace

QueueThread::QueueThread(int most) : ring_(static_cast<std::size_t>(most) + 1) {
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {
    throw Error(ErrorCode::device, "cannot start a thread that copies", "",
                "stop other programs, or set memory.offload to none");
  }
}

QueueThread::~QueueThread() {
  static const KernelArguments kNone;
  const std::uint64_t room = ring_.size();
  if (given_ >= room) wait_until(done_, given_ + 1 - room);
  ring_[given_ % room] = {nullptr, kNone, {}};
  published_.store(++given_, std::memory_order_release);
  published_.notify_one();
  thread_.join();
}

std::uint64_t QueueThread::give(Kernel& kernel, const KernelArguments& arguments,
                                const Turn& turn) {
  const std::uint64_t room = ring_.size();
  if (given_ >= room) wait_until(done_, given_ + 1 - room);
  ring_[given_ % room] = {&kernel, arguments, turn};
  published_.store(++given_, std::memory_order_release);
  published_.notify_one();
  return given_;
}

void QueueThread::wait(std::uint64_t number) {
  wait_until(done_, number);
  if (failed_.load(std::memory_order_acquire)) std::rethrow_exception(failure_);
}

void QueueThread::run() {
  for (std::uint64_t next = 0;; ++next) {
    wait_until(published_, next + 1);
    const Item item = ring_[next % ring_.size()];
    if (item.kernel == nullptr) return;
    try {
      if (!failed_.load(std::memory_order_relaxed)) item.kernel->run(item.arguments, item.turn);
    } catch (...) {
      failure_ = std::current_exception();
      failed_.store(true, std::memory_order_release);
    }
    done_.store(next + 1, std::memory_order_release);
    done_.notify_all();
  }
}

}  // namespace ingot::cpu

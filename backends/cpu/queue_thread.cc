#include "backends/cpu/queue_thread.h"

#include <chrono>
#include <system_error>

#include "backends/cpu/spin_pause.h"
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
      spin_pause();
    }
  } while (std::chrono::steady_clock::now() < until);
  for (std::uint64_t now = word.load(std::memory_order_acquire); now < least;
       now = word.load(std::memory_order_acquire)) {
    word.wait(now, std::memory_order_acquire);
  }
}

}  // namespace

double Stamp::now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

QueueThread::QueueThread(int most) : ring_(static_cast<std::size_t>(most) + 1) {
  try {
    thread_ = Thread([this] { run(); });
  } catch (const std::system_error&) {
    throw Error(ErrorCode::device, "cannot start a thread that copies", "",
                "stop other programs, or set memory.offload to none");
  }
}

QueueThread::~QueueThread() {
  give(Item{});
  thread_.join();
}

std::uint64_t QueueThread::give(Kernel& kernel, const KernelArguments& arguments,
                                const Turn& turn) {
  return give({.kernel = &kernel, .arguments = arguments, .turn = turn});
}

void QueueThread::mark(Stamp& stamp) { give({.stamp = &stamp}); }

std::uint64_t QueueThread::give(const Item& item) {
  const std::uint64_t room = ring_.size();
  if (given_ >= room) wait_until(done_, given_ + 1 - room);
  ring_[given_ % room] = item;
  published_.store(++given_, std::memory_order_release);
  published_.notify_one();
  return given_;
}

void QueueThread::wait(std::uint64_t number) {
  wait_until(done_, number);
  if (failed_.load(std::memory_order_acquire)) std::rethrow_exception(failure_);
}

void QueueThread::prepare_after(std::uint64_t number) {
  const std::uint64_t published = published_.load(std::memory_order_acquire);
  for (std::uint64_t next = number; next < published; ++next) {
    const Item& item = ring_[next % ring_.size()];
    if (item.kernel == nullptr) continue;
    return item.kernel->prepare(item.arguments);
  }
}

void QueueThread::run() {
  for (std::uint64_t number = 1;; ++number) {
    wait_until(published_, number);
    const Item item = ring_[(number - 1) % ring_.size()];
    if (item.kernel == nullptr && item.stamp == nullptr) return;
    if (item.stamp != nullptr) {
      item.stamp->begin = item.stamp->end = Stamp::now();
    } else {
      prepare_after(number);
    }
    try {
      const bool runs = item.kernel != nullptr && !failed_.load(std::memory_order_relaxed);
      if (runs) item.kernel->run(item.arguments, item.turn);
    } catch (...) {
      failure_ = std::current_exception();
      failed_.store(true, std::memory_order_release);
    }
    done_.store(number, std::memory_order_release);
    done_.notify_all();
  }
}

}  // namespace ingot::cpu

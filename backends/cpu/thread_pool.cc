#include "backends/cpu/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "backends/cpu/spin_pause.h"
#include "engine/base/error.h"

namespace ingot::cpu {
namespace {

constexpr std::chrono::microseconds kSpin{30};

// Which pool this thread is working for right now, and as which thread of it.
struct Position {
  const ThreadPool* pool = nullptr;
  int thread = 0;
};
thread_local Position position;

// Returns when word != old: looks for a short while, then sleeps.
void wait_while(const std::atomic<std::uint32_t>& word, std::uint32_t old) {
  const auto until = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (word.load(std::memory_order_acquire) != old) return;
      spin_pause();
    }
  } while (std::chrono::steady_clock::now() < until);
  word.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) : threads_(threads) {
  if (threads < 1) throw Error(ErrorCode::usage, "a thread pool needs at least one thread");
  workers_.reserve(static_cast<std::size_t>(threads - 1));
  try {
    for (int thread = 1; thread < threads; ++thread) {
      workers_.emplace_back([this, thread] { work(thread); });
    }
  } catch (const std::system_error&) {
    stop();
    throw Error(ErrorCode::device, "cannot start " + std::to_string(threads) + " threads", "",
                "use fewer: INGOT_THREADS=N");
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  started_.fetch_add(1, std::memory_order_release);
  started_.notify_all();
  for (Thread& worker : workers_) worker.join();
}

void ThreadPool::parallel_for(std::int64_t tiles, Body body) {
  if (tiles <= 0) return;
  const bool nested = position.pool == this;
  if (tiles == 1 || threads_ == 1 || nested) {
    const Position outer = position;
    if (!nested) position = {this, 0};
    for (std::int64_t tile = 0; tile < tiles; ++tile) body(tile, position.thread);
    position = outer;
    return;
  }
  const std::uint32_t job = started_.load(std::memory_order_relaxed) + 1;
  body_.store(&body, std::memory_order_relaxed);
  tiles_.store(static_cast<std::uint32_t>(tiles), std::memory_order_relaxed);
  tiles_done_.store(0, std::memory_order_relaxed);
  cursor_.store(std::uint64_t{job} << 32 | static_cast<std::uint32_t>(tiles),
                std::memory_order_release);
  started_.store(job, std::memory_order_release);
  started_.notify_all();

  const Position outer = std::exchange(position, {this, 0});
  take_tiles(job, 0);
  position = outer;
  wait_while(finished_, job - 1);
}

void ThreadPool::take_tiles(std::uint32_t job, int thread) noexcept {
  std::uint32_t tiles = 0;
  std::uint32_t mine = 0;
  std::uint64_t cursor = cursor_.load(std::memory_order_acquire);
  while (cursor >> 32 == job && static_cast<std::uint32_t>(cursor) != 0) {
    // Valid if the exchange below succeeds: they change only between jobs.
    const Body* body = body_.load(std::memory_order_relaxed);
    tiles = tiles_.load(std::memory_order_relaxed);
    if (!cursor_.compare_exchange_weak(cursor, cursor - 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
      continue;
    }
    (*body)(tiles - static_cast<std::uint32_t>(cursor), thread);
    ++mine;
    cursor = cursor_.load(std::memory_order_acquire);
  }
  if (mine != 0 && tiles_done_.fetch_add(mine, std::memory_order_acq_rel) + mine == tiles) {
    finished_.store(job, std::memory_order_release);
    finished_.notify_one();
  }
}

void ThreadPool::work(int thread) {
  position = {this, thread};
  std::uint32_t seen = 0;
  while (true) {
    wait_while(started_, seen);
    seen = started_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    take_tiles(seen, thread);
  }
}

namespace {

// The CPU quota of the cgroup (version 2, or 1) that a container sees as its root; 0 if none.
double cgroup_quota() {
  std::string quota;
  double period = 0;
  if (std::ifstream file("/sys/fs/cgroup/cpu.max"); file >> quota >> period) {
    return quota == "max" || period <= 0 ? 0 : std::strtod(quota.c_str(), nullptr) / period;
  }
  double microseconds = 0;
  std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (quota_file >> microseconds && period_file >> period && period > 0) {
    return microseconds < 0 ? 0 : microseconds / period;
  }
  return 0;
}

int cores_in_affinity_mask() {
  // The kernel refuses a mask smaller than its own; machines with over 1024 CPUs exist.
  for (int cpus = 1024; cpus <= 1 << 16; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return count;
  }
  return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

int default_threads() {
  constexpr int kMost = 4096;
  if (const char* wanted = std::getenv("INGOT_THREADS"); wanted != nullptr && *wanted != '\0') {
    char* end = nullptr;
    const long threads = std::strtol(wanted, &end, 10);
    if (*end != '\0' || threads < 1 || threads > kMost) {
      throw Error(ErrorCode::usage, std::string("'") + wanted + "' is no number of threads",
                  "environment variable INGOT_THREADS", "use a number from 1 to 4096, or unset it");
    }
    return static_cast<int>(threads);
  }
  int threads = cores_in_affinity_mask();
  // A quota of 1.5 cores keeps 2 threads busy most of the time: round up.
  if (const double quota = cgroup_quota(); quota > 0) {
    threads = std::min(threads, static_cast<int>(std::ceil(quota)));
  }
  return std::clamp(threads, 1, kMost);
}

}  // namespace ingot::cpu

// The threads of a process and the one way to use them: parallel_for over tiles.
//
// Tiles are handed out one by one, so a core that is busy with somebody else's work only slows the
// tiles it holds. A worker without work spins for some 30 us (the time between two ops), then
// sleeps: an idle pool costs nothing, and more threads than cores do no harm.
// For results that don't depend on the number of threads, split work by shape, never by threads(),
// and write each result from one tile.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "backends/cpu/function_ref.h"
#include "engine/base/thread.h"

namespace ingot::cpu {

class ThreadPool {
 public:
  using Body = FunctionRef<void(std::int64_t tile, int thread)>;

  // Starts threads - 1 threads (>= 0); the caller of parallel_for is the remaining one, thread 0.
  // Throws Error(usage) when threads < 1, Error(device) when the system gives no more threads.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Runs body(tile, thread) for every tile in [0, tiles), each exactly once, 0 <= thread <
  // threads(); calls with one thread number never overlap, so thread may index scratch memory.
  // Returns when all are done; what the tiles wrote is then visible. Allocates nothing. body must
  // not throw. One tile, one thread or a call from inside a body: runs in the calling thread. One
  // parallel_for at a time: calls from two outside threads must not overlap. tiles < 2^31.
  void parallel_for(std::int64_t tiles, Body body);

 private:
  void work(int thread);
  void take_tiles(std::uint32_t job, int thread) noexcept;
  void stop();

  const int threads_;
  std::atomic<const Body*> body_{nullptr};
  std::atomic<std::uint32_t> tiles_{0};
  // The job's number (upper half) and how many of its tiles nobody has taken (lower half). A tile
  // is taken by compare-exchange, so a worker that wakes up late takes none of a job it has not
  // read.
  alignas(64) std::atomic<std::uint64_t> cursor_{0};
  alignas(64) std::atomic<std::uint32_t> tiles_done_{0};
  alignas(64) std::atomic<std::uint32_t> started_{
      0};  // number of the newest job; workers wait on it
  alignas(64) std::atomic<std::uint32_t> finished_{0};  // number of the last finished job
  std::atomic<bool> stopping_{false};
  std::vector<Thread> workers_;
};

// How many threads to use: INGOT_THREADS if set, else the cores this process may run on
// (affinity mask and cgroup CPU quota). Throws Error(usage) when INGOT_THREADS is no number in
// 1..4096.
int default_threads();

}  // namespace ingot::cpu

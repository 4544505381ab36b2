#include "parallel/communicators/mpi/mpi_ranks.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/thread.h"
#include "parallel/communicators/mpi/heartbeats.h"
#include "parallel/communicators/mpi/mpi_functions.h"

namespace ingot {
namespace {

constexpr const char* kLibrary = "libingot_mpi.so";
// Open MPI moves nothing unless it is called; without a rest in between the thread would take a
// core from compute.
constexpr std::chrono::microseconds kRest{30};
constexpr std::chrono::milliseconds kIdle{20};
constexpr std::chrono::seconds kLastResort{3};

// Owns MPI: does what other threads give it, and watches that ranks are there.
class MpiThread {
 public:
  explicit MpiThread(const MpiFunctions& mpi) : mpi_(mpi), thread_([this] { run(); }) {}
  ~MpiThread() {
    call([this] {
      heartbeats_.reset();
      mpi_.finish();
    });
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  // Waits for it.
  void call(const std::function<void()>& function) {
    std::atomic<bool> called{false};
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back([&] {
        function();
        called.store(true, std::memory_order_release);
        called.notify_one();
      });
    }
    changed_.notify_all();
    called.wait(false, std::memory_order_acquire);
  }

  // From within a call, once MPI has started.
  void begin_heartbeats(int rank, int size) { heartbeats_.emplace(mpi_, rank, size); }

  // A list of messages on its way; the thread sets the state.
  enum State : int { under_way, done, failed };
  struct List {
    int channel = 0;
    std::vector<MpiMessage> out, in;
    std::atomic<int> state{done};
    std::string error;  // where it failed
  };
  // list must stay until its state is no longer under_way.
  void begin(List& list) {
    list.state.store(under_way, std::memory_order_relaxed);
    {
      const std::lock_guard lock(mutex_);
      fresh_.push_back(&list);
    }
    changed_.notify_all();
  }

 private:
  void run() {
    std::vector<List*> open;
    std::vector<std::function<void()>> calls;
    while (take_work(open, calls)) {
      for (const auto& call : calls) call();
      calls.clear();
      const std::size_t before = open.size();
      std::erase_if(open, [this](List* list) { return is_through(*list); });
      if (heartbeats_) heartbeats_->look();
      if (!open.empty() && open.size() == before) std::this_thread::sleep_for(kRest);
    }
  }

  // Waits for some where nothing is under way, but no longer than a heartbeat may. False at the
  // end.
  bool take_work(std::vector<List*>& open, std::vector<std::function<void()>>& calls) {
    std::unique_lock lock(mutex_);
    const auto is_some = [this] { return ended_ || !calls_.empty() || !fresh_.empty(); };
    if (open.empty()) changed_.wait_for(lock, kIdle, is_some);
    calls.swap(calls_);
    for (List* const list : fresh_) {
      mpi_.begin(list->channel, list->out.data(), static_cast<int>(list->out.size()),
                 list->in.data(), static_cast<int>(list->in.size()));
      open.push_back(list);
    }
    fresh_.clear();
    return !ended_;
  }

  bool is_through(List& list) {
    const int result = mpi_.done(list.channel);
    if (result == 0) return false;
    if (result < 0) list.error = mpi_.error(list.channel);
    list.state.store(result > 0 ? done : failed, std::memory_order_release);
    return true;
  }

  const MpiFunctions& mpi_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void()>> calls_;
  std::vector<List*> fresh_;
  bool ended_ = false;
  std::optional<Heartbeats> heartbeats_;  // of the thread
  Thread thread_;
};

class Channel final : public Communicator {
 public:
  Channel(MpiThread& thread, int channel, int rank, int size)
      : thread_(thread), rank_(rank), size_(size) {
    list_.channel = channel;
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void begin(std::span<const Message> out, std::span<const Message> in) override {
    list_.out.clear();
    list_.in.clear();
    for (const Message& m : out) list_.out.push_back({m.peer, m.bytes.data(), std::ssize(m.bytes)});
    for (const Message& m : in) list_.in.push_back({m.peer, m.bytes.data(), std::ssize(m.bytes)});
    thread_.begin(list_);
  }
  bool done() override {
    const int state = list_.state.load(std::memory_order_acquire);
    if (state != MpiThread::failed) return state == MpiThread::done;
    throw Error(ErrorCode::device, "ranks cannot talk to each other any more: " + list_.error,
                "rank " + std::to_string(rank_),
                "start the run again: it goes on from its last save");
  }

 private:
  MpiThread& thread_;
  const int rank_, size_;
  MpiThread::List list_;
};

class MpiRanks final : public Communicators {
 public:
  explicit MpiRanks(const MpiFunctions& mpi) : mpi_(mpi), thread_(mpi) {
    const char* problem = nullptr;
    thread_.call([&] {
      problem = mpi_.start(&rank_, &size_, &ranks_here_);
      if (problem == nullptr) thread_.begin_heartbeats(rank_, size_);
    });
    if (problem != nullptr) {
      throw Error(ErrorCode::device, std::string("MPI does not start: ") + problem, kLibrary);
    }
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int ranks_here() const override { return ranks_here_; }
  Communicator& of(Queue queue) override {
    auto& channel = channels_[queue];
    if (!channel) {
      int number = 0;
      thread_.call([&] { number = mpi_.new_channel(queue); });
      channel = std::make_unique<Channel>(thread_, number, rank_, size_);
    }
    return *channel;
  }
  void abort(int code) override {
    std::thread([code] {  // whatever hangs
      std::this_thread::sleep_for(kLastResort);
      _exit(code);
    })
        .detach();
    thread_.call([this, code] { mpi_.abort(code); });
    _exit(code);
  }

 private:
  const MpiFunctions& mpi_;
  int rank_ = 0, size_ = 1, ranks_here_ = 1;
  std::map<Queue, std::unique_ptr<Channel>> channels_;
  MpiThread thread_;
};

int number_of(const char* variable) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? 0 : std::atoi(text);
}

// Beside the program, where a build puts it, or in the lib folder of where it is installed.
const MpiFunctions& load_functions(int started) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto& folder : {program, program / "../lib/ingot"}) {
    void* const library = dlopen((folder / kLibrary).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    const auto functions =
        reinterpret_cast<const MpiFunctions* (*)()>(dlsym(library, "ingot_mpi_functions"));
    if (functions != nullptr && functions()->version == kMpiFunctionsVersion) return *functions();
  }
  throw Error(ErrorCode::device,
              "started as one of " + std::to_string(started) +
                  " ranks, and the part that talks to the others does not load",
              (program / kLibrary).string(),
              "install MPI (Debian: libopenmpi-dev) and build again, or start one process");
}

}  // namespace

int started_ranks() {
  return std::max({1, number_of("OMPI_COMM_WORLD_SIZE"), number_of("PMI_SIZE"),
                   std::getenv("SLURM_PROCID") != nullptr ? number_of("SLURM_NTASKS") : 1});
}

std::unique_ptr<Communicators> start_ranks() {
  const int started = started_ranks();
  if (started == 1) return nullptr;
  auto ranks = std::make_unique<MpiRanks>(load_functions(started));
  if (ranks->size() != started) {
    throw Error(ErrorCode::device,
                std::to_string(started) + " processes were started, and MPI knows of " +
                    std::to_string(ranks->size()),
                "SLURM_NTASKS", "start them with mpirun or srun --mpi=pmix");
  }
  return ranks;
}

}  // namespace ingot

// Saving while training goes on: the state of a step is copied into a buffer that was there from
// the start, and a thread of its own writes, syncs and verifies the checkpoint behind the copy.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "backends/host/arena.h"
#include "engine/base/thread.h"
#include "engine/config/config.h"
#include "engine/execution/executor.h"
#include "io/checkpoint_files.h"
#include "io/companion_files.h"
#include "weights/saved_states.h"
#include "weights/staging_ring.h"

namespace ingot {

// What a save is told.
struct SaveOptions {
  std::filesystem::path directory;
  std::int64_t keep = 3;                       // 0: all
  const CompanionFiles* companions = nullptr;  // written beside the tensors
  GoodCheckpoints* known_good = nullptr;       // as CheckpointOptions
};

// How one ended.
struct SaveResult {
  std::int64_t step = 0;
  double seconds = 0;                 // until the last byte was verified
  double stalled_seconds = 0;         // of them, start() took
  std::vector<std::string> warnings;  // what could not be done, but did not prevent the save
  // Error(diverged), and nothing is written, when a weight is not finite; Error(device) when the
  // disk refuses: the checkpoints before stay as they were.
  std::exception_ptr failure;
};

// Bytes of tensors in a checkpoint of this program.
std::int64_t checkpoint_bytes(const Program& program);
// What a copy of all of them takes.
std::int64_t snapshot_bytes(const Program& program);

// The checkpoints of one program. Used by one thread, besides its own.
class CheckpointSaver {
 public:
  // snapshot: bytes for the copy, snapshot_bytes() or 0. Without, or where the system has not got
  // them, what is saved passes through a small buffer, and start() takes as long as the disk.
  // Throws Error(device) when the system gives no thread.
  CheckpointSaver(const Program& program, std::int64_t snapshot);
  ~CheckpointSaver();  // after the save that is under way
  CheckpointSaver(const CheckpointSaver&) = delete;
  CheckpointSaver& operator=(const CheckpointSaver&) = delete;

  // Whether start() only copies.
  bool has_snapshot() const { return snapshot_.size() > 0; }
  // Of the buffer, whichever it is.
  std::int64_t staging_bytes() const { return ring_.capacity(); }

  // Begins to write DIRECTORY/step_XXXXXXXX of the executor's state as it is now. sections: of the
  // manifest, besides what manifest_text() writes. What options point at belongs to the saver until
  // its result is taken, as that of the save before must be. Throws what reading the device throws.
  void start(const Executor& executor, std::int64_t step, const RunConfig& config,
             const nlohmann::json& sections, const SaveOptions& options);
  // A save was started whose result is not taken.
  bool is_under_way() const { return under_way_; }
  // And it has come to its end. Looks at one number.
  bool has_result() const { return under_way_ && done_.load(std::memory_order_acquire); }
  // Waits for it.
  SaveResult result();

 private:
  struct Job {
    std::int64_t step = 0;
    std::string manifest;
    SaveOptions options;
  };
  void copy(const Executor& executor);
  void run();
  void write(const Job& job, SaveResult& result);

  SavedTensors saved_;
  Arena snapshot_;
  std::vector<std::byte> small_;
  StagingRing ring_;
  bool under_way_ = false;  // of the calling thread
  std::chrono::steady_clock::time_point started_;
  double stalled_seconds_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  const Job* job_ = nullptr;  // none: there is nothing to do
  bool leaving_ = false;
  std::atomic<bool> done_ = false;
  SaveResult result_;
  Job current_;
  Thread thread_;  // the last member: it uses the others
};

// Saves and waits. Throws SaveResult::failure.
void save_checkpoint(const Executor& executor, std::int64_t step, const RunConfig& config,
                     const nlohmann::json& sections, const SaveOptions& options);

}  // namespace ingot

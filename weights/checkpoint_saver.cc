#include "weights/checkpoint_saver.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "engine/base/align.h"
#include "engine/base/error.h"
#include "weights/finite_values.h"
#include "weights/manifest.h"

namespace ingot {
namespace {

using Clock = std::chrono::steady_clock;

// What the process' own part of the budget has always had for a save (planning/budget.cc).
constexpr std::int64_t kSmallBuffer = 1 << 20;
// At a time: of a file, so many pages are resident beside the arena.
constexpr std::int64_t kPiece = kSmallBuffer / 2;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::int64_t staged_bytes(const SavedTensors& saved) {
  std::int64_t bytes = 0;
  for (const SavedTensor& tensor : saved.tensors)
    bytes += align_up(tensor.bytes, kStagingAlignment);
  return bytes;
}

Arena snapshot_memory(std::int64_t bytes) {
  try {
    return Arena(bytes);
  } catch (const Error&) {
    return {};  // a budget may be more than the machine has; saves can do without
  }
}

}  // namespace

std::int64_t checkpoint_bytes(const Program& program) { return SavedTensors(program).bytes; }

std::int64_t snapshot_bytes(const Program& program) { return staged_bytes(SavedTensors(program)); }

CheckpointSaver::CheckpointSaver(const Program& program, std::int64_t snapshot)
    : saved_(program),
      snapshot_(snapshot_memory(snapshot)),
      small_(snapshot_.size() > 0 ? 0 : kSmallBuffer),
      ring_(snapshot_.size() > 0 ? snapshot_.bytes() : std::span(small_)) {
  try {
    thread_ = Thread([this] { run(); });
  } catch (const std::system_error&) {
    throw Error(ErrorCode::device, "cannot start a thread that saves", "", "stop other programs");
  }
}

CheckpointSaver::~CheckpointSaver() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CheckpointSaver::start(const Executor& executor, std::int64_t step, const RunConfig& config,
                            const nlohmann::json& sections, const SaveOptions& options) {
  if (under_way_) throw std::logic_error("a save was started before the one before was done");
  started_ = Clock::now();
  nlohmann::json all = sections;
  if (!saved_.blocks.empty()) all["blocks"] = saved_.blocks;
  current_ = {step, manifest_text(config, all), options};
  ring_.restart();
  done_ = false;
  under_way_ = true;
  {
    const std::lock_guard lock(mutex_);
    job_ = &current_;
  }
  changed_.notify_all();
  executor.synchronize();
  try {
    copy(executor);
  } catch (...) {
    ring_.end();  // before the last byte
    throw;
  }
  ring_.end();
  stalled_seconds_ = seconds_since(started_);
}

void CheckpointSaver::copy(const Executor& executor) {
  for (const SavedTensor& tensor : saved_.tensors) {
    const Range place = executor.range(tensor.tensor).subrange(tensor.offset, tensor.bytes);
    for (std::int64_t first = 0; first < tensor.bytes;) {
      const auto room = ring_.room(std::min(kPiece, tensor.bytes - first));
      if (room.empty()) return;  // the writer has failed, and says so in the result
      executor.backend().read(room, place.subrange(first, std::ssize(room)));
      first += std::ssize(room);
      ring_.put(std::ssize(room));
    }
  }
}

SaveResult CheckpointSaver::result() {
  if (!under_way_) throw std::logic_error("the result of no save");
  done_.wait(false, std::memory_order_acquire);
  under_way_ = false;
  result_.stalled_seconds = stalled_seconds_;
  return std::move(result_);
}

void CheckpointSaver::run() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return job_ != nullptr || leaving_; });
      if (job_ == nullptr) return;
      job_ = nullptr;
    }
    SaveResult result{.step = current_.step};
    try {
      write(current_, result);
    } catch (...) {
      result.failure = std::current_exception();
      ring_.give_up();
    }
    result.seconds = seconds_since(started_);
    result_ = std::move(result);
    done_.store(true, std::memory_order_release);
    done_.notify_all();
  }
}

void CheckpointSaver::write(const Job& job, SaveResult& result) {
  CheckpointWriter writer(
      job.options.directory, job.step, saved_.declarations,
      {.keep = static_cast<std::size_t>(job.options.keep),
       .known_good = job.options.known_good,
       .warn = [&result](const std::string& line) { result.warnings.push_back(line); }});
  for (const SavedTensor& tensor : saved_.tensors) {
    const std::string& name = tensor.declaration.name;
    for (std::int64_t first = 0; first < tensor.bytes;) {
      const auto piece = ring_.next(std::min(kPiece, tensor.bytes - first));
      if (piece.empty()) throw std::runtime_error("the copy of '" + name + "' was cut short");
      if (!all_finite(tensor.declaration.type, piece)) {
        throw Error(ErrorCode::diverged, "checkpoint not saved: '" + name + "' is not finite", name,
                    "go back to an earlier checkpoint with a smaller learning rate");
      }
      writer.append(name, piece);
      first += std::ssize(piece);
      ring_.take(std::ssize(piece));
    }
  }
  if (job.options.companions != nullptr) {
    for (const auto& [name, text] : *job.options.companions) writer.add_file(name, text);
  }
  writer.commit(job.manifest);
}

void save_checkpoint(const Executor& executor, std::int64_t step, const RunConfig& config,
                     const nlohmann::json& sections, const SaveOptions& options) {
  CheckpointSaver saver(executor.program(), 0);
  saver.start(executor, step, config, sections, options);
  if (const SaveResult result = saver.result(); result.failure) {
    std::rethrow_exception(result.failure);
  }
}

}  // namespace ingot

// A stream of bytes from one thread to another through a buffer of fixed size: the writing thread
// waits only where the buffer is full.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>

namespace ingot {

// Bytes pass in runs whose lengths both sides know (the tensors of a checkpoint), each run in
// pieces of any size; the last piece of a run is padded to kStagingAlignment, so every run begins
// aligned. The reading side begins when the buffer is full or the stream has ended: as long as the
// writing side copies, it has the memory to itself.
inline constexpr std::int64_t kStagingAlignment = 64;

class StagingRing {
 public:
  // buffer: of a size that is a multiple of kStagingAlignment, at least two of them; not owned.
  explicit StagingRing(std::span<std::byte> buffer) : buffer_(buffer) {}

  std::int64_t capacity() const { return std::ssize(buffer_); }
  // Before each stream, while no thread is at it.
  void restart();

  // The writing side: room for the next bytes of a run that wants `most` more, waiting for the
  // reader where there is none. Empty once the reader has given up.
  std::span<std::byte> room(std::int64_t most);
  // The first `count` bytes of what room() gave are written.
  void put(std::int64_t count);
  // Nothing more comes.
  void end();

  // The reading side: the next bytes of a run that wants `most` more. Empty where the stream ended
  // before.
  std::span<const std::byte> next(std::int64_t most);
  // The first `count` bytes of what next() gave are used.
  void take(std::int64_t count);
  // Nothing more is wanted.
  void give_up();

 private:
  std::span<std::byte> piece_at(std::int64_t position, std::int64_t most) const;

  std::span<std::byte> buffer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t written_ = 0, read_ = 0;  // bytes since the restart, padding included
  bool ended_ = false, given_up_ = false;
};

}  // namespace ingot

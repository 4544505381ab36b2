#include "weights/staging_ring.h"

#include <algorithm>

#include "engine/base/align.h"

namespace ingot {

void StagingRing::restart() {
  written_ = read_ = 0;
  ended_ = given_up_ = false;
}

// Up to the end of the buffer at most.
std::span<std::byte> StagingRing::piece_at(std::int64_t position, std::int64_t most) const {
  const std::int64_t offset = position % capacity();
  return buffer_.subspan(offset, std::min(most, capacity() - offset));
}

std::span<std::byte> StagingRing::room(std::int64_t most) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return written_ - read_ < capacity() || given_up_; });
  if (given_up_) return {};
  return piece_at(written_, std::min(most, capacity() - (written_ - read_)));
}

void StagingRing::put(std::int64_t count) {
  const std::lock_guard lock(mutex_);
  written_ += align_up(count, kStagingAlignment);
  if (written_ - read_ == capacity()) changed_.notify_all();
}

void StagingRing::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

std::span<const std::byte> StagingRing::next(std::int64_t most) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return written_ - read_ == capacity() || ended_; });
  return piece_at(read_, std::min(most, written_ - read_));
}

void StagingRing::take(std::int64_t count) {
  const std::lock_guard lock(mutex_);
  read_ += align_up(count, kStagingAlignment);
  changed_.notify_all();
}

void StagingRing::give_up() {
  const std::lock_guard lock(mutex_);
  given_up_ = true;
  changed_.notify_all();
}

}  // namespace ingot

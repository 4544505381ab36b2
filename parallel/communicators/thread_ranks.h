// Ranks that are threads of one process: what tests train on, without MPI and under every
// sanitizer.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "engine/execution/communicator.h"

namespace ingot {

class ThreadRanks {
 public:
  // delays: 0, or the seed of how long each message seems to take, so that ranks meet in any order.
  explicit ThreadRanks(int size, std::uint64_t delays = 0);
  ~ThreadRanks();

  // Of the thread that is to be this rank, and of threads it starts.
  Communicators& rank(int rank);
  // Whoever waits for others gets Error(device): a rank that failed calls it, so that none hangs.
  void leave(int rank);

  // Counted at the senders, over all ranks and channels.
  struct Traffic {
    std::int64_t messages = 0, bytes = 0;
  };
  Traffic traffic() const;

 private:
  class Channel;
  class Member;
  // One way from a rank to another within a channel.
  using Way = std::tuple<Queue, int, int>;
  struct Parcel {
    std::span<const std::byte> bytes;
    bool taken = false;
  };

  mutable std::mutex mutex_;
  std::map<Way, std::deque<std::shared_ptr<Parcel>>> ways_;
  int left_ = -1;  // a rank that has left
  Traffic traffic_;
  std::uint64_t delays_;
  std::vector<std::unique_ptr<Member>> members_;
};

}  // namespace ingot

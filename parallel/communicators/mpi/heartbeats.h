// Whether the other ranks are still there. A rank that was stopped, or whose machine was cut off,
// ends no connection: without this all others would wait for it for ever. mpirun notices only
// deaths.
#pragma once

#include <chrono>
#include <vector>

#include "parallel/communicators/mpi/mpi_functions.h"

namespace ingot {

// Rank 0 and each other rank exchange one byte a second. It belongs to the thread that owns MPI, so
// it says that a process runs and can be reached, not that it computes: rank 0 may validate for
// minutes while the others wait.
class Heartbeats {
 public:
  Heartbeats(const MpiFunctions& mpi, int rank, int size);
  ~Heartbeats();  // cancels what is under way
  Heartbeats(const Heartbeats&) = delete;
  Heartbeats& operator=(const Heartbeats&) = delete;

  // Often. Says who is silent for kSilence, and ends all ranks with exit code 6.
  void look();

  static constexpr std::chrono::seconds kEvery{1}, kSilence{15};

 private:
  using Clock = std::chrono::steady_clock;
  struct Peer {
    int rank = 0, channel = 0;
    std::byte sent{}, received{};
    Clock::time_point begun;
    bool under_way = false;
  };
  void begin(Peer& peer);
  void end_all(const Peer& silent);

  const MpiFunctions& mpi_;
  const int rank_;
  Clock::time_point looked_;
  std::vector<Peer> peers_;
};

}  // namespace ingot

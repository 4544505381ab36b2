#include "parallel/communicators/mpi/heartbeats.h"

#include <unistd.h>

#include <cstdio>

#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr int kTag = 1000;  // above all queues

}  // namespace

Heartbeats::Heartbeats(const MpiFunctions& mpi, int rank, int size)
    : mpi_(mpi), rank_(rank), looked_(Clock::now()), peers_(rank == 0 ? size - 1 : 1) {
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    peers_[i].rank = rank == 0 ? static_cast<int>(i) + 1 : 0;
    peers_[i].channel = mpi_.new_channel(kTag);
    begin(peers_[i]);
  }
}

Heartbeats::~Heartbeats() {
  for (const Peer& peer : peers_) {
    if (peer.under_way) mpi_.cancel(peer.channel);
  }
}

void Heartbeats::begin(Peer& peer) {
  peer.begun = Clock::now();
  peer.under_way = true;
  const MpiMessage out{peer.rank, &peer.sent, 1}, in{peer.rank, &peer.received, 1};
  mpi_.begin(peer.channel, &out, 1, &in, 1);
}

void Heartbeats::look() {
  const Clock::time_point now = Clock::now();
  // This process itself was stopped, and goes on: nobody can blame the others.
  const bool was_away = now - looked_ > kEvery;
  looked_ = now;
  for (Peer& peer : peers_) {
    if (was_away) peer.begun = now;
    if (peer.under_way && mpi_.done(peer.channel) != 0) peer.under_way = false;
    if (!peer.under_way && now - peer.begun >= kEvery) begin(peer);
    if (peer.under_way && now - peer.begun > kSilence) end_all(peer);
  }
}

void Heartbeats::end_all(const Peer& silent) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  std::fprintf(stderr,
               "ingot: error: rank %d on %s: rank %d is silent for %lld s (stopped, or its machine "
               "is cut off): start the run again, it goes on from its last save\n",
               rank_, host, silent.rank, static_cast<long long>(kSilence.count()));
  const int code = static_cast<int>(ErrorCode::device);
  mpi_.abort(code);
  _exit(code);
}

}  // namespace ingot

// What libingot_mpi.so offers the program: the few things that are asked of MPI, so that the
// program itself links none. All are called by one thread, the one that called start().
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot {

constexpr int kMpiFunctionsVersion = 1;

struct MpiMessage {
  int peer;
  std::byte* bytes;
  std::int64_t count;
};

struct MpiFunctions {
  int version = kMpiFunctionsVersion;
  // Which of how many ranks this process is, and how many there are on its machine. Returns null,
  // or what went wrong.
  const char* (*start)(int* rank, int* size, int* ranks_here);
  void (*finish)();
  // A further channel, of messages that carry this tag; asks no other rank.
  int (*new_channel)(int tag);
  // Begins to send and to receive on a channel that has nothing under way.
  void (*begin)(int channel, const MpiMessage* out, int sends, const MpiMessage* in, int receives);
  // 1: all of it is through, 0: not yet, -1: it failed, error() says why.
  int (*done)(int channel);
  const char* (*error)(int channel);
  // What is still under way on a channel will not come through.
  void (*cancel)(int channel);
  void (*abort)(int code);  // ends all ranks
};

}  // namespace ingot

// The one symbol that is looked up.
extern "C" const ingot::MpiFunctions* ingot_mpi_functions();

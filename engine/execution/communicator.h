// Processes that train together, called ranks, and the one way bytes go between them: messages.
// Gathers, sums and exchanges are lists of messages, made in ops/collective; nothing here adds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/program/queue.h"

namespace ingot {

// A channel between the ranks of a group, used by one thread. Messages from one rank to another
// arrive in the order they were sent; those of other channels are no part of that order.
class Communicator {
 public:
  struct Message {
    int peer = 0;  // rank in the group
    std::span<std::byte> bytes;
  };

  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Begins to send `out` and to receive `in`; their bytes stay in use until done(). Both ends of a
  // message name the same number of bytes. One list at a time.
  virtual void begin(std::span<const Message> out, std::span<const Message> in) = 0;
  // Whether all of them are through. Throws Error(device) when a peer is gone.
  virtual bool done() = 0;
};

// All channels of a process. Every rank makes the same calls in the same order.
class Communicators {
 public:
  virtual ~Communicators() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Of them, those of this machine, which share its memory and cores.
  virtual int ranks_here() const = 0;
  // Of an op's queue; kCompute: the host's own, for what is asked between steps.
  virtual Communicator& of(Queue queue) = 0;
  // Ends all ranks, this one with that exit code.
  [[noreturn]] virtual void abort(int code) = 0;
};

// Sends and receives, and returns when all is through.
void exchange(Communicator& channel, std::span<const Communicator::Message> out,
              std::span<const Communicator::Message> in);

enum class Combine : std::uint8_t { sum, most, least };

// Each value combined over all ranks, on all ranks. Blocks; for starts, saves and ends.
void agree(Communicators& ranks, std::span<std::int64_t> values, Combine combine);

// The text that rank 0 has, on all ranks. Blocks.
std::string broadcast(Communicators& ranks, std::string text);

}  // namespace ingot

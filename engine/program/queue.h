// What of a program may go on at the same time. The list of ops says what a program means: run in
// order, one by one, it gives the right result. Queues only say what may be done meanwhile:
//   a start   an op on another queue than compute; it comes after everything that compute was
//             given before it, and after its own queue
//   a wait    the op that ends it: what compute is given behind it comes after the start. It has
//             the start's operands, so that they stay alive until then.
// There is no other order between queues. A start and its wait have the same ticket.
#pragma once

#include <cstdint>
#include <string>

namespace ingot {

struct OpKind;

enum class QueueKind : std::uint8_t {
  compute,
  copy_in,   // from the second memory
  copy_out,  // to it
  group,     // messages between ranks
};

struct QueueInfo {
  QueueKind kind = QueueKind::compute;
  std::string name;
};

// Index into Program::queues(); these are always there.
using Queue = std::uint8_t;
constexpr Queue kCompute = 0, kCopyIn = 1, kCopyOut = 2;

//   wait   inputs those of its start   outputs those of its start
extern const OpKind kWait;

}  // namespace ingot

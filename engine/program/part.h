// Parts and schedules. A part is a stretch of a program's ops that is run as a unit; a schedule
// says which parts run, on which micro-batch, until an update is made. With one chunk of layers
// that is the micro-step as often as there are micro-batches, then the update; a pipeline cuts the
// micro-step into forward and backward of its chunks, of several micro-batches in turn.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/program/step_state.h"

namespace ingot {

enum class PartKind : std::uint8_t {
  micro_step,        // forward and backward of all layers
  forward,           // of a chunk of them
  backward,          // of a chunk
  weight_gradients,  // what of a chunk's backward only the update waits for
  update,
  evaluation,
  prefill,
  decode,
};

struct Part {
  PartKind kind = PartKind::micro_step;
  int chunk = 0;  // of the model's layers, from the first; 0 where the kind has no chunks

  static const Part micro_step, update, evaluation, prefill, decode;
  friend auto operator<=>(const Part&, const Part&) = default;
};
inline constexpr Part Part::micro_step{PartKind::micro_step};
inline constexpr Part Part::update{PartKind::update};
inline constexpr Part Part::evaluation{PartKind::evaluation};
inline constexpr Part Part::prefill{PartKind::prefill};
inline constexpr Part Part::decode{PartKind::decode};

// "micro_step", "backward 1".
std::string name_of(Part part);

// One run of a part.
struct Action {
  Part part;
  int micro_batch = 0;  // of the update
  friend bool operator==(const Action&, const Action&) = default;
};
using Schedule = std::vector<Action>;  // of one update, which is its last action

// The micro-step on each of `count` micro-batches, then the update.
Schedule micro_step_schedule(int count);

// Which run of its part an action is.
Turn turn_of(std::span<const Action> schedule, std::size_t action);

}  // namespace ingot

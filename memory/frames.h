// Frames: what a micro-batch keeps from one part of its way to another, saved activations above
// all, while parts of other micro-batches run. Tensors of Lifetime::frame that are first used in
// the same part and last used in the same part lie side by side in a block. A block of one
// micro-batch is a buffer that lives from action to action of the schedule, so its place is found
// as those of tensors are: the plan is exact, no number of slots is guessed.
#pragma once

#include <cstdint>
#include <span>

#include "engine/execution/executor.h"

namespace ingot {

// The pass: makes frame tensors of what the parts of a micro-batch's way hand to one another, and
// of their inputs (which evaluation may read as well: it runs between updates, and has micro-batch
// 0's). Not of what they hand to the update, nor of what only some turns write (packed weights).
// Nothing happens where the micro-step is one part.
void mark_frames(Program& program);

struct FramePlan {
  std::vector<std::int64_t> offsets;  // by tensor id, within its block; of others -1
  Frames frames;                      // places from 0
  std::int64_t bytes = 0, lower_bound_bytes = 0;
};

// Where nothing is of a frame, bytes is 0 and `frames` empty. What is written from outside (inputs)
// lives from the micro-batch's first action on. Throws std::logic_error where a part that uses a
// frame is not in the schedule.
FramePlan plan_frames(const Program& program, const BoundProgram& bound,
                      std::span<const Action> schedule);

}  // namespace ingot

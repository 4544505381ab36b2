// The last pass over a program: puts ops on their queues, moves them up so that they start before
// their result is needed, and puts waits in. A pure function of the program and the number.
#pragma once

#include "engine/program/program.h"

namespace ingot {

// How far ahead copies start: copy number k of a part is moved up to in front of the first op that
// needs copy number k - ahead, never above an op that it depends on, and waited for before the
// first op that depends on it, at the latest at the end of its part or before copy number k + ahead
// + 1 of its kind starts. 0: copies stay on compute, where they stand.
void schedule_queues(Program& program, int ahead);

// Whether the parts, run in the order of the schedule (without one: in that of the list) with their
// queues, give what they should, however the queues are interleaved. Throws std::logic_error naming
// the ops when
//   an op between a start and its wait writes what the start reads, or touches what it writes,
//   a ticket has no start, no wait, or two of them, or is still open at the end of its part,
//   a wait has other operands or other turns than its start,
//   an op stands on a queue where its kind may not run,
//   a tensor is read that no op of the same part (of the same micro-batch, in a frame) wrote
//   before, an op adds to the gradient of a weight before another begins the sum, or after its
//   squares were left, or begins it again.
void check_program(const Program& program, std::span<const Action> schedule = {});

}  // namespace ingot

// In which order the ranks of a pipeline work on forward and backward of their chunks
// (spec/parallel.md F1). Rank r has chunk r.
#pragma once

#include <span>
#include <vector>

#include "engine/program/part.h"

namespace ingot {

// Of one update, for each rank, without the update itself. At most ranks - r micro-batches are
// between forward and backward on rank r (1F1B, arXiv 2104.04473 section 2.2).
std::vector<Schedule> one_forward_one_backward(int ranks, int micro_batches);

// The same with the gradients of weights apart (ZB-H1, arXiv 2401.10241): rank r does the oldest
// when more than r are waiting, and the rest at the end.
std::vector<Schedule> zero_bubble_h1(int ranks, int micro_batches);

// All ranks' work as one process does it, in an order that ranks could have done it in, and the
// update behind it. Throws std::logic_error naming an action that is never ready.
Schedule in_one_process(std::span<const Schedule> ranks);

}  // namespace ingot

// Data parallelism: every rank has the whole model and its own micro-batches; what an update needs
// of all of them is summed over the ranks.
#pragma once

#include <cstdint>
#include <span>

#include "engine/program/program.h"

namespace ingot {

// Gradients that are complete together are summed in one op, of about so many bytes: enough that
// the time to begin a message does not matter, few enough that sums start early.
constexpr std::int64_t kBucketBytes = 4 << 20;

// Called when micro-step and update are there and no squares were left by what writes gradients.
// Behind the last op that writes the last gradient of a bucket stands its sum, in the last turn of
// the micro-step: it goes on beside the rest of the backward pass. `summed`: other persistent
// tensors that ranks add up, the loads of routers. At the beginning of the update the reports are
// combined. Returns the queue of these messages.
Queue sum_over_data_ranks(Program& program, std::span<const Tensor> summed);

}  // namespace ingot

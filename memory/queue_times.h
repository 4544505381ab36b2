// How long a step takes when its queues run beside each other: a walk over the list of ops with a
// clock for each queue.
#pragma once

#include <span>
#include <vector>

#include "memory/cost_model.h"

namespace ingot {

struct QueueTimes {
  double seconds = 0;           // from the first op to the end of the last, on any queue
  std::vector<double> busy;     // by queue: what its ops took
  std::vector<double> exposed;  // by queue: how long compute stood still in waits for its starts
};

// A start begins when its queue and compute have come to it; a wait sets compute to the end of its
// start. Where the pages of offloaded tensors do not fit memory, each copy also takes the disk,
// which there is one of. While a copy runs beside compute it takes its share of it.
QueueTimes queue_times(const Program& program, std::span<const Action> schedule,
                       const CostModel& costs);

}  // namespace ingot

// Ranks that mpirun or srun started, through libingot_mpi.so. One thread of the process owns MPI
// and makes all its calls; others leave lists of messages with it.
#pragma once

#include <memory>

#include "engine/execution/communicator.h"

namespace ingot {

// How many processes were started together with this one, as the environment says; 1: none.
int started_ranks();

// All of them; null where this process was started alone. Throws Error(device) when they were
// started together and cannot talk: N processes that each train alone would be N times the same.
std::unique_ptr<Communicators> start_ranks();

}  // namespace ingot

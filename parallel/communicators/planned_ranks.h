// Ranks of a cluster that is planned and not there: programs for it can be compiled, bound and
// placed; what would send a message is a programmer's mistake.
#pragma once

#include <memory>

#include "engine/execution/communicator.h"

namespace ingot {

// This process as rank 0 of so many.
std::unique_ptr<Communicators> planned_ranks(int size);

}  // namespace ingot

// The memory plan that a run's newest checkpoint recorded, made again.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tools/report/run_history.h"

namespace ingot {

struct RunMemory {
  std::vector<std::pair<std::string, std::string>> facts;  // "micro-batch": "4 x 256 tokens"
  std::string drawing;  // live bytes by role over the ops of a step, an SVG document
  std::string problem;  // why there is none; else ""
};

// Compiles the program of the recorded plan: what an op needs besides its operands is this
// machine's. Never throws for what is missing or of another version: that is the problem.
RunMemory run_memory(const RunHistory& run);

}  // namespace ingot

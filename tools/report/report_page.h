// Runs side by side as one HTML page that needs nothing else: no network, no other file.
#pragma once

#include <string>
#include <vector>

#include "tools/report/run_history.h"
#include "tools/report/run_memory.h"

namespace ingot {

struct ReportedRun {
  RunHistory history;
  RunMemory memory;
};

// runs: one at least; two of one name are told apart by their folders. `build` says what wrote it.
std::string report_page(std::vector<ReportedRun> runs, const std::string& build);

}  // namespace ingot

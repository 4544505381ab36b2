// SIGINT and SIGTERM as a flag: a run looks at it between steps, saves, and exits.
#pragma once

namespace ingot {

// While one lives, SIGINT and SIGTERM set the flag instead of ending the process; a second one of
// the same kind ends it at once. One at a time.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // The signal's number, or 0.
  int received() const;
};

}  // namespace ingot

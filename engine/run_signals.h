// What a run is told from outside, as flags that it looks at between steps: SIGINT and SIGTERM ask
// it to save and exit, SIGUSR1 to read its memory budget again.
#pragma once

namespace ingot {

// While one lives, these signals set flags instead of ending the process; a second SIGINT or
// SIGTERM ends it at once. Afterwards SIGUSR1 is ignored: one that comes late must not end the
// process while it leaves. One at a time.
class RunSignals {
 public:
  RunSignals();
  ~RunSignals();
  RunSignals(const RunSignals&) = delete;
  RunSignals& operator=(const RunSignals&) = delete;

  // The number of the signal that asked the run to stop, or 0.
  int stop() const;
  // Whether SIGUSR1 came since the last call.
  bool take_reread() const;
};

}  // namespace ingot

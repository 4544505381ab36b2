// What a run is told from outside, as flags that it looks at between steps: SIGINT, SIGTERM, SIGHUP
// (its terminal is gone) and SIGPIPE (who read what it says is gone) ask it to save and exit, and
// so does SIGUSR2, which mpirun passes on to all ranks and after which a run ends with 0; SIGUSR1
// asks it to read its memory budget again.
#pragma once

namespace ingot {

// While one lives, these signals set flags instead of ending the process; a second SIGINT, SIGTERM
// or SIGHUP ends it at once. SIGHUP and SIGINT stay ignored where they were (nohup; a script's
// `&`). Afterwards SIGUSR1 and SIGPIPE are ignored: one that comes late must not end the process
// while it leaves. One at a time.
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

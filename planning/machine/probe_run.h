// Whether a run that is timed had the machine for itself.
#pragma once

namespace ingot {

// One run of a probe: ops that were timed one by one.
struct ProbeRun {
  double seconds = 0;
  double waited_seconds = 0;  // of those, how long its thread was ready and had no core
  double least_seconds = 0;   // sum of each op's fastest so far, this run included
};

// Nothing else had a noticeable part of the machine: the thread hardly waited, and, where the
// system does not tell (a core taken by the host of a virtual machine), no op took much longer than
// it can.
bool was_quiet(const ProbeRun& run);

// How long the calling thread has waited for a core since it began; 0 where the system does not
// tell.
double seconds_without_a_core();

}  // namespace ingot

// Where a step's time goes: the times of every op summed by kind, and compared with what the
// machine could do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/execution/op_times.h"

namespace ingot {

// All ops of one kind and queue in one step.
struct KindTime {
  std::string kind;
  Queue queue = kCompute;
  double calls = 0;
  double seconds = 0;
  double flops = 0, bytes = 0;
  double compute_seconds = 0;  // the arithmetic alone at the peak
  double least_seconds = 0;    // sum of MachinePeaks::least_seconds
};

class Profile final : public OpTimes {
 public:
  using OpTimes::OpTimes;

  // What follows is another step: results are per step.
  void end_step();
  std::int64_t steps() const { return steps_; }

  // Those of compute first, the longest first.
  std::vector<KindTime> by_kind(const MachinePeaks& peaks) const;
  // The same of each op's fastest call: what the kernels can do when nothing disturbs them.
  std::vector<KindTime> fastest_by_kind(const MachinePeaks& peaks) const;
  // Every call as a Chrome trace event (chrome://tracing, https://ui.perfetto.dev), a row for each
  // queue: one JSON array.
  std::string chrome_trace() const;

 private:
  std::vector<KindTime> sum_by_kind(const std::vector<double>& op_seconds,
                                    const MachinePeaks& peaks) const;

  std::int64_t steps_ = 0;
};

// One line for each kind: calls, milliseconds, share of all, GFLOP/s, GB/s, both with their share
// of the peaks, and the share of the least time possible ("roof"); the sum; what ran beside it on
// other queues, whose share is of the same sum; the peaks.
std::string profile_table(const std::vector<KindTime>& kinds, const MachinePeaks& peaks);

}  // namespace ingot

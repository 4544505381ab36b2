// Where a step's time goes: an observer that times every op, sums by kind, and compares with what
// the machine could do.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/execution/executor.h"

namespace ingot {

// What the machine can do at most, measured (tools/command.h); 0: not known.
struct MachinePeaks {
  double f32_flops = 0, bf16_flops = 0, int8_flops = 0;  // per second
  double bytes_per_second = 0;                           // from memory

  // Of the type the op computes in: that of its first operand, or int8 where its attribute says so.
  double flops_for(const Program& program, const Op& op) const;
  // No op can take less: its arithmetic at the peak or its bytes at full bandwidth, whichever is
  // longer. (Operands that are still in a cache can beat it.)
  double least_seconds(const Program& program, const Op& op) const;
};

// All ops of one kind in one step.
struct KindTime {
  std::string kind;
  double calls = 0;
  double seconds = 0;
  double flops = 0, bytes = 0;
  double compute_seconds = 0;  // the arithmetic alone at the peak
  double least_seconds = 0;    // sum of MachinePeaks::least_seconds
};

class Profile final : public OpObserver {
 public:
  explicit Profile(const Program& program);

  void before(const Op& op) override;
  void after(const Op& op) override;
  // What follows is another step: results are per step.
  void end_step() { ++steps_; }
  std::int64_t steps() const { return steps_; }

  // The longest first.
  std::vector<KindTime> by_kind(const MachinePeaks& peaks) const;
  // The same of each op's fastest call: what the kernels can do when nothing disturbs them.
  std::vector<KindTime> fastest_by_kind(const MachinePeaks& peaks) const;
  // Every call as a Chrome trace event (chrome://tracing, https://ui.perfetto.dev): one JSON array.
  std::string chrome_trace() const;

 private:
  using Clock = std::chrono::steady_clock;

  struct Call {
    std::uint32_t op;
    Clock::time_point start, end;
  };

  std::vector<KindTime> sum_by_kind(const std::vector<double>& op_seconds,
                                    const MachinePeaks& peaks) const;

  const Program& program_;
  Clock::time_point first_;
  std::vector<Call> calls_;
  std::int64_t steps_ = 0;
};

// One line for each kind: calls, milliseconds, share of all, GFLOP/s, GB/s, both with their share
// of the peaks, and the share of the least time possible ("roof"); the peaks below.
std::string profile_table(const std::vector<KindTime>& kinds, const MachinePeaks& peaks);

}  // namespace ingot

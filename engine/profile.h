// Where a step's time goes: an observer that times every op and sums by kind.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/executor.h"

namespace ingot {

class Profile final : public OpObserver {
 public:
  explicit Profile(const Program& program);

  void before(const Op& op) override;
  void after(const Op& op) override;

  // Kinds by their time, with calls, share, GFLOP/s, GB/s and the share of `peak_flops` per second
  // (0: not known).
  std::string table(double peak_flops) const;
  // Every call as a Chrome trace event (chrome://tracing, Perfetto): one JSON array.
  std::string chrome_trace() const;

 private:
  using Clock = std::chrono::steady_clock;

  struct Call {
    std::uint32_t op;
    Clock::time_point start, end;
  };

  const Program& program_;
  Clock::time_point first_;
  std::vector<Call> calls_;
};

}  // namespace ingot

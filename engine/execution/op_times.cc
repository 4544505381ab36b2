#include "engine/execution/op_times.h"

#include <algorithm>
#include <limits>

namespace ingot {
namespace {

// Calls are recorded into memory that is there already: a stopwatch must not slow what it measures.
constexpr std::size_t kReserved = 1 << 16;
// The first mark of all, then two for each call that is not collected yet.
constexpr std::size_t kOrigin = 0;
std::size_t begin_of(std::size_t call) { return 1 + 2 * call; }
std::size_t end_of(std::size_t call) { return 2 + 2 * call; }

}  // namespace

OpTimes::OpTimes(Executor& executor)
    : executor_(executor),
      fastest_(executor.program().ops().size(), std::numeric_limits<double>::infinity()) {
  calls_.reserve(kReserved);
}

void OpTimes::before(const Op& op) {
  Queues& queues = executor_.queues();
  const std::size_t most = executor_.program().ops().size();  // not collected
  if (!started_) {
    started_ = true;
    queues.reserve_marks(begin_of(most));
    queues.mark(kCompute, kOrigin);
  }
  if (calls_.size() - collected_ == most) collect();
  calls_.push_back({.op = static_cast<std::uint32_t>(&op - executor_.program().ops().data()),
                    .queue = op.queue});
  queues.mark(op.queue, begin_of(calls_.size() - 1 - collected_));
}

void OpTimes::after(const Op& op) {
  executor_.queues().mark(op.queue, end_of(calls_.size() - 1 - collected_));
}

void OpTimes::collect() {
  if (collected_ == calls_.size()) return;
  executor_.synchronize();
  const Queues& queues = executor_.queues();
  std::size_t first = 0, last = 0;  // on compute
  for (std::size_t i = collected_; i < calls_.size(); ++i) {
    OpCall& call = calls_[i];
    const std::size_t begin = begin_of(i - collected_), end = end_of(i - collected_);
    call.begin = queues.seconds(kOrigin, begin);
    call.seconds = queues.seconds(begin, end);
    fastest_[call.op] = std::min(fastest_[call.op], call.seconds);
    if (call.queue != kCompute) continue;
    if (first == 0) first = begin;
    last = end;
  }
  last_seconds_ = first == 0 ? 0 : queues.seconds(first, last);
  last_quiet_ = first == 0 || queues.quiet(first, last);
  collected_ = calls_.size();
}

}  // namespace ingot

#include "memory/queue_times.h"

#include <algorithm>

namespace ingot {
namespace {

class Walk {
 public:
  Walk(const Program& program, const CostModel& costs)
      : program_(program),
        costs_(costs),
        waits_for_disk_(costs.waits_for_disk(program)),
        op_costs_(program.ops().size()),
        clocks_(program.queues().size()),
        ends_(program.tickets()) {
    times_.busy.resize(clocks_.size());
    times_.exposed.resize(clocks_.size());
  }

  void run(Part part, const Turn& turn) {
    for (const Op& op : program_.ops(part)) {
      if (!runs_in(op.when, turn)) continue;
      op.kind == &kWait ? wait(op) : start(op);
    }
  }

  QueueTimes finish() {
    times_.seconds = *std::ranges::max_element(clocks_);
    return std::move(times_);
  }

 private:
  struct OpCost {
    double seconds = -1, disk = 0;  // -1: not looked at yet
  };
  struct End {
    double time = 0;
    double taken = 0;  // of compute meanwhile
    Queue queue = kCompute;
  };

  const OpCost& cost_of(const Op& op) {
    OpCost& cost = op_costs_[&op - program_.ops().data()];
    if (cost.seconds < 0) {
      cost = {costs_.seconds(program_, op),
              waits_for_disk_ ? costs_.disk_seconds(program_, op) : 0};
    }
    return cost;
  }

  void start(const Op& op) {
    const OpCost& cost = cost_of(op);
    double& clock = clocks_[op.queue];
    const double begin = std::max(clock, clocks_[kCompute]);
    double end = begin + cost.seconds;
    if (cost.disk > 0) {
      disk_ = std::max(disk_, begin) + cost.disk;
      end = std::max(end, disk_);
    }
    clock = end;
    times_.busy[op.queue] += end - begin;
    if (op.queue == kCompute) return;
    ends_[op.ticket] = {end, costs_.copy_share() * cost.seconds, op.queue};
  }

  void wait(const Op& op) {
    const End& start = ends_[op.ticket];
    double& compute = clocks_[kCompute];
    compute += start.taken;
    if (start.time <= compute) return;
    times_.exposed[start.queue] += start.time - compute;
    compute = start.time;
  }

  const Program& program_;
  const CostModel& costs_;
  const bool waits_for_disk_;
  std::vector<OpCost> op_costs_;  // by op
  std::vector<double> clocks_;    // by queue: when it has done what it was given
  std::vector<End> ends_;         // by ticket, of its start
  double disk_ = 0;               // when it is free
  QueueTimes times_;
};

}  // namespace

QueueTimes queue_times(const Program& program, std::span<const Action> schedule,
                       const CostModel& costs) {
  Walk walk(program, costs);
  for (std::size_t i = 0; i < schedule.size(); ++i) {
    walk.run(schedule[i].part, turn_of(schedule, i));
  }
  return walk.finish();
}

}  // namespace ingot

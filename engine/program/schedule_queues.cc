#include "engine/program/schedule_queues.h"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "engine/program/order.h"

namespace ingot {
namespace {

// The ops of one part, in an order that is still made.
class QueuedPart {
 public:
  QueuedPart(Program& program, int ahead) : program_(program), ahead_(ahead) {}

  void add(Op op) {
    const QueueKind beside = op.kind->beside;
    const bool in_place = beside == QueueKind::compute || beside == QueueKind::group;
    if (beside == QueueKind::group) op.ticket = program_.new_ticket();
    if (in_place || ahead_ == 0) {
      ops_.push_back({.op = std::move(op)});
      return;
    }
    std::vector<int>& starts = starts_[op.kind];
    Placed placed{.op = std::move(op), .number = static_cast<int>(starts.size())};
    placed.op.queue = queue_of(beside);
    placed.op.ticket = program_.new_ticket();
    starts.push_back(placed.op.ticket);
    ops_.insert(earliest(placed), std::move(placed));
  }

  // Appends the part with its waits.
  void finish() {
    std::vector<const Op*> open;
    for (const Placed& placed : ops_) {
      const auto must_end = [&](const Op* start) {
        return depends(placed.op, *start) || is_too_far_behind(*start, placed);
      };
      for (auto start = open.begin(); start != open.end();) {
        if (must_end(*start)) {
          append_wait(**start);
          start = open.erase(start);
        } else {
          ++start;
        }
      }
      if (placed.op.queue != kCompute) open.push_back(&placed.op);
      program_.append(Op(placed.op));
    }
    for (const Op* start : open) append_wait(*start);
  }

 private:
  struct Placed {
    Op op;
    int number = -1;  // of the starts of its kind in this part
  };

  static Queue queue_of(QueueKind kind) { return kind == QueueKind::copy_in ? kCopyIn : kCopyOut; }

  // In front of the first op that needs the start `ahead` numbers before, where that stands already
  // (the first ones: at the part's beginning), but behind all it depends on. What only ends
  // something, as a copy back does, has nobody who needs it, and stays.
  std::vector<Placed>::iterator earliest(const Placed& start) {
    if (start.op.kind->beside == QueueKind::copy_out) return ops_.end();
    const int needed = start.number - ahead_;
    auto place = needed < 0 ? ops_.begin() : first_user(start.op.kind, needed);
    for (auto op = ops_.end(); op != place;) {
      --op;
      const bool same_kind = op->op.kind == start.op.kind;  // stay in their order
      if (same_kind || depends(start.op, op->op)) return op + 1;
    }
    return place;
  }

  std::vector<Placed>::iterator first_user(const OpKind* kind, int number) {
    const auto start = std::ranges::find_if(
        ops_, [&](const Placed& p) { return p.op.kind == kind && p.number == number; });
    return std::find_if(start == ops_.end() ? start : start + 1, ops_.end(),
                        [&](const Placed& p) { return depends(p.op, start->op); });
  }

  // So many of a kind may be under way at once: what they hold in memory is bounded.
  bool is_too_far_behind(const Op& start, const Placed& next) const {
    if (next.op.kind != start.kind || start.kind->beside == QueueKind::group) return false;
    const std::vector<int>& tickets = starts_.at(start.kind);
    const auto number = std::ranges::find(tickets, start.ticket) - tickets.begin();
    return next.number > number + ahead_;
  }

  void append_wait(const Op& start) {
    Op wait = start;
    wait.kind = &kWait;
    wait.queue = kCompute;
    wait.attributes = {};
    wait.flops = wait.bytes = 0;
    program_.append(std::move(wait));
  }

  Program& program_;
  int ahead_;
  std::vector<Placed> ops_;
  std::map<const OpKind*, std::vector<int>> starts_;  // tickets, by number
};

}  // namespace

void schedule_queues(Program& program, int ahead) {
  std::vector<Op> ops = program.take_ops();
  for (std::size_t first = 0; first < ops.size();) {
    QueuedPart queued(program, ahead);
    const Part part = ops[first].part;
    for (; first < ops.size() && ops[first].part == part; ++first) {
      queued.add(std::move(ops[first]));
    }
    queued.finish();
  }
}

}  // namespace ingot

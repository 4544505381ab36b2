#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engine/program/gradient_start.h"
#include "engine/program/order.h"
#include "engine/program/schedule_queues.h"

namespace ingot {
namespace {

class Check {
 public:
  explicit Check(const Program& program)
      : program_(program),
        starts_(program.tickets()),
        written_(program.tensors().size(), -1),
        gradients_(program.tensors().size(), Sum::none) {}

  void run(std::span<const Action> schedule) {
    for (std::size_t i = 0; i < schedule.size(); ++i) {
      run(schedule[i].part, schedule[i].micro_batch, turn_of(schedule, i));
    }
    for (const Part part : program_.parts()) {
      const auto is_part = [part](const Action& action) { return action.part == part; };
      if (std::ranges::none_of(schedule, is_part)) run(part, 0, {});
    }
  }

 private:
  enum class Sum : std::uint8_t { none, begun, complete };  // of a gradient, in this update

  void run(Part part, int micro_batch, const Turn& turn) {
    ++action_;
    micro_batch_ = micro_batch;
    for (const Op& op : program_.ops(part)) {
      if (!runs_in(op.when, turn)) continue;
      if (op.kind == &kWait) {
        end(op);
      } else {
        look_at(op);
        add_up(op, turn);
      }
      for (const Tensor t : op.outputs) {
        if (t) written_[t.id] = action_;
        if (t && is_of_frame(t)) in_frames_.insert({t.id, micro_batch});
      }
    }
    if (!open_.empty()) refuse(*open_.front(), "nobody waits for it in its part");
  }

  [[noreturn]] void refuse(const Op& op, const std::string& what) const {
    throw std::logic_error(describe(program_, op) + ": " + what);
  }

  bool is_of_frame(Tensor t) const { return program_.info(t).lifetime == Lifetime::frame; }

  bool is_there(Tensor t) const {
    const TensorInfo& info = program_.info(t);
    if (info.lifetime == Lifetime::transient) return written_[t.id] == action_;
    if (info.lifetime != Lifetime::frame || info.role == Role::input) return true;
    return in_frames_.contains({t.id, micro_batch_});
  }

  void look_at(const Op& op) {
    for (const Op* start : open_) {
      if (depends(op, *start)) refuse(op, "does not wait for " + describe(program_, *start));
    }
    for (const Tensor t : op.inputs) {
      if (!t || is_there(t)) continue;
      refuse(op, "reads " + program_.info(t).name + ", which nobody wrote before in this " +
                     (is_of_frame(t) ? "micro-batch" : "part"));
    }
    if (op.queue == kCompute) {
      if (op.ticket >= 0) refuse(op, "has a ticket, and is on compute");
      return;
    }
    if (program_.queues()[op.queue].kind != op.kind->beside) refuse(op, "may not run on its queue");
    const bool known = op.ticket >= 0 && op.ticket < program_.tickets();
    if (!known || (starts_[op.ticket] != nullptr && starts_[op.ticket] != &op)) {
      refuse(op, "its ticket is not its own");
    }
    starts_[op.ticket] = &op;
    open_.push_back(&op);
  }

  // Sums of gradients begin with the op that overwrites them, and have all their addends when the
  // squares of the sum are left.
  void add_up(const Op& op, const Turn& turn) {
    if (!op.attributes.has("first")) return;
    const bool begins = GradientStart(op)(turn);
    for (const Tensor t : op.outputs) {
      if (!t || program_.info(t).role != Role::gradient ||
          program_.info(t).lifetime != Lifetime::persistent) {
        continue;
      }
      Sum& sum = gradients_[t.id];
      const std::string& name = program_.info(t).name;
      if (begins && sum == Sum::begun) refuse(op, "overwrites " + name + ", to which others added");
      if (!begins && sum == Sum::none) refuse(op, "adds to " + name + " before it is begun");
      if (sum == Sum::complete) refuse(op, "adds to " + name + " after its squares were left");
      sum = turn.last && leaves_squares(op) ? Sum::complete : Sum::begun;
    }
  }

  bool leaves_squares(const Op& op) const {
    if (op.kind->square_sums == nullptr || op.outputs.size() < 2 || !op.outputs.back())
      return false;
    const TensorInfo& last = program_.info(op.outputs.back());
    return last.role == Role::gradient && last.lifetime == Lifetime::parts;
  }

  void end(const Op& wait) {
    const auto start =
        std::ranges::find_if(open_, [&](const Op* op) { return op->ticket == wait.ticket; });
    if (start == open_.end()) refuse(wait, "waits for nothing");
    if ((*start)->inputs != wait.inputs || (*start)->outputs != wait.outputs ||
        (*start)->when != wait.when) {
      refuse(wait, "differs from its start");
    }
    open_.erase(start);
  }

  const Program& program_;
  int action_ = 0, micro_batch_ = 0;         // that is walked
  std::vector<const Op*> open_;              // starts that nobody has waited for yet
  std::vector<const Op*> starts_;            // by ticket
  std::vector<int> written_;                 // by tensor: the action that wrote it last
  std::set<std::pair<int, int>> in_frames_;  // tensor, micro-batch
  std::vector<Sum> gradients_;               // by tensor
};

}  // namespace

void check_program(const Program& program, std::span<const Action> schedule) {
  Check(program).run(schedule);
}

}  // namespace ingot

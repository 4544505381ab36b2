#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/program/order.h"
#include "engine/program/schedule_queues.h"

namespace ingot {
namespace {

class Check {
 public:
  explicit Check(const Program& program)
      : program_(program), closed_(program.tickets(), false), written_(program.tensors().size()) {}

  void run() {
    for (const Op& op : program_.ops()) {
      if (part_ != op.part) end_part(op.part);
      op.kind == &kWait ? end(op) : look_at(op);
      for (const Tensor t : op.outputs) {
        if (t) written_[t.id] = op.part;
      }
    }
    end_part(part_);
  }

 private:
  [[noreturn]] void refuse(const Op& op, const std::string& what) const {
    throw std::logic_error(describe(program_, op) + ": " + what);
  }

  void end_part(Part next) {
    if (!open_.empty()) refuse(*open_.front(), "nobody waits for it in its part");
    part_ = next;
  }

  void look_at(const Op& op) {
    for (const Op* start : open_) {
      if (depends(op, *start)) refuse(op, "does not wait for " + describe(program_, *start));
    }
    for (const Tensor t : op.inputs) {
      if (!t || program_.info(t).lifetime != Lifetime::transient) continue;
      if (written_[t.id] != op.part) {
        refuse(op, "reads " + program_.info(t).name + ", which nobody wrote before in this part");
      }
    }
    if (op.queue == kCompute) {
      if (op.ticket >= 0) refuse(op, "has a ticket, and is on compute");
      return;
    }
    if (program_.queues()[op.queue].kind != op.kind->beside) refuse(op, "may not run on its queue");
    const auto same = [&](const Op* start) { return start->ticket == op.ticket; };
    const bool known = op.ticket >= 0 && op.ticket < program_.tickets();
    if (!known || closed_[op.ticket] || std::ranges::any_of(open_, same)) {
      refuse(op, "its ticket is not its own");
    }
    open_.push_back(&op);
  }

  void end(const Op& wait) {
    const auto start =
        std::ranges::find_if(open_, [&](const Op* op) { return op->ticket == wait.ticket; });
    if (start == open_.end()) refuse(wait, "waits for nothing");
    if ((*start)->inputs != wait.inputs || (*start)->outputs != wait.outputs ||
        (*start)->when != wait.when) {
      refuse(wait, "differs from its start");
    }
    closed_[wait.ticket] = true;
    open_.erase(start);
  }

  const Program& program_;
  Part part_;
  std::vector<const Op*> open_;               // starts that nobody has waited for yet
  std::vector<bool> closed_;                  // by ticket
  std::vector<std::optional<Part>> written_;  // by tensor: the part that wrote it last
};

}  // namespace

void check_program(const Program& program) { Check(program).run(); }

}  // namespace ingot

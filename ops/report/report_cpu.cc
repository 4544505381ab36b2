#include "ops/report/report_cpu.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

namespace ingot::cpu {
namespace {

struct Slot {
  std::int64_t index;
  bool most;
  std::vector<int> inputs;
};

double combined(const Slot& slot, double a, double b) { return slot.most ? std::max(a, b) : a + b; }

std::unique_ptr<Kernel> make_report(const Program& program, const Op& op, const Context&) {
  std::vector<Slot> slots;
  for (int input = 0; input < std::ssize(op.inputs); ++input) {
    const std::int64_t index = op.attributes.integer("slot" + std::to_string(input));
    auto slot = std::ranges::find(slots, index, &Slot::index);
    if (slot == slots.end()) {
      const bool most = program.report_rule(static_cast<int>(index)) == ReportRule::most;
      slot = slots.insert(slot, Slot{index, most, {}});
    }
    slot->inputs.push_back(input);
  }
  return make_kernel(
      0, [slots = std::move(slots)](const KernelArguments& arguments, const Turn& turn) {
        auto* report = arguments.output<double>(0);
        for (const Slot& slot : slots) {
          double value = *arguments.input<float>(slot.inputs[0]);
          for (std::size_t i = 1; i < slot.inputs.size(); ++i) {
            value = combined(slot, value, *arguments.input<float>(slot.inputs[i]));
          }
          report[slot.index] = turn.first ? value : combined(slot, report[slot.index], value);
        }
      });
}

class CombineReports final : public Kernel {
 public:
  CombineReports(const Program& program, Communicator& channel) : channel_(channel) {
    for (int slot = 0; slot < program.report_slots(); ++slot) {
      most_.push_back(program.report_rule(slot) == ReportRule::most);
    }
  }

  std::int64_t workspace_bytes() const override {
    return channel_.size() * kReportSlots * size_of(DType::f64);
  }

  void run(const KernelArguments& arguments, const Turn&) override {
    auto* const report = arguments.output<double>(0);
    auto* const all = reinterpret_cast<double*>(arguments.workspace.data());
    const auto bytes_of = [](double* values) {
      return std::as_writable_bytes(std::span(values, kReportSlots));
    };
    out_.clear();
    in_.clear();
    for (int peer = 0; peer < channel_.size(); ++peer) {
      double* const theirs = all + peer * kReportSlots;
      if (peer == channel_.rank()) {
        std::copy_n(report, kReportSlots, theirs);
        continue;
      }
      out_.push_back({peer, bytes_of(report)});
      in_.push_back({peer, bytes_of(theirs)});
    }
    exchange(channel_, out_, in_);
    for (std::size_t slot = 0; slot < most_.size(); ++slot) {
      report[slot] = all[slot];
      for (int peer = 1; peer < channel_.size(); ++peer) {
        const double theirs = all[peer * kReportSlots + slot];
        report[slot] = most_[slot] ? std::max(report[slot], theirs) : report[slot] + theirs;
      }
    }
  }

 private:
  Communicator& channel_;
  std::vector<bool> most_;  // by slot: its rule
  std::vector<Communicator::Message> out_, in_;
};

std::unique_ptr<Kernel> make_combine_reports(const Program& program, const Op& op,
                                             const Context& context) {
  if (context.ranks == nullptr) throw std::logic_error("combine_reports: there are no other ranks");
  return std::make_unique<CombineReports>(program, context.ranks->of(op.queue));
}

}  // namespace

std::span<const KernelEntry> report_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"report", make_report},
                                             {"combine_reports", make_combine_reports}};
  return kEntries;
}

}  // namespace ingot::cpu

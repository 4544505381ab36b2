#include "ops/report/report_cpu.h"

#include <algorithm>
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

}  // namespace

std::span<const KernelEntry> report_cpu_kernels() {
  static constexpr KernelEntry kEntries[] = {{"report", make_report}};
  return kEntries;
}

}  // namespace ingot::cpu

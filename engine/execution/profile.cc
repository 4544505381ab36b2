#include "engine/execution/profile.h"

#include <fmt/format.h>
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

namespace ingot {
namespace {

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

void add_line(std::string& text, const KindTime& time, double total, const MachinePeaks& peaks) {
  const std::string name = time.kind + (time.queue == kCompute ? "" : " (beside)");
  text += fmt::format(
      "{:<24} {:7.0f} {:9.2f} {:5.1f}% {:9.1f} {:5.1f}% {:8.1f} {:5.1f}% {:5.1f}%\n", name,
      time.calls, time.seconds * 1e3, 100 * ratio(time.seconds, total),
      ratio(time.flops, time.seconds) / 1e9, 100 * ratio(time.compute_seconds, time.seconds),
      ratio(time.bytes, time.seconds) / 1e9,
      100 * ratio(ratio(time.bytes, time.seconds), peaks.bytes_per_second),
      100 * ratio(time.least_seconds, time.seconds));
}

}  // namespace

void Profile::end_step() {
  collect();
  ++steps_;
}

std::vector<KindTime> Profile::by_kind(const MachinePeaks& peaks) const {
  std::vector<double> op_seconds(program().ops().size());
  for (const OpCall& call : calls()) op_seconds[call.op] += call.seconds;
  return sum_by_kind(op_seconds, peaks);
}

std::vector<KindTime> Profile::fastest_by_kind(const MachinePeaks& peaks) const {
  std::vector<double> op_seconds(program().ops().size());
  for (const OpCall& call : calls()) op_seconds[call.op] += fastest(call.op);
  return sum_by_kind(op_seconds, peaks);
}

std::vector<KindTime> Profile::sum_by_kind(const std::vector<double>& op_seconds,
                                           const MachinePeaks& peaks) const {
  const double steps = static_cast<double>(std::max<std::int64_t>(1, steps_));
  std::vector<double> counts(op_seconds.size());
  for (const OpCall& call : calls()) counts[call.op] += 1 / steps;
  std::map<std::pair<std::string_view, Queue>, KindTime> sums;
  for (std::size_t i = 0; i < op_seconds.size(); ++i) {
    if (counts[i] == 0) continue;
    const Op& op = program().ops()[i];
    KindTime& sum = sums[{op.kind->name, op.queue}];
    sum.calls += counts[i];
    sum.seconds += op_seconds[i] / steps;
    sum.flops += counts[i] * op.flops;
    sum.bytes += counts[i] * op.bytes;
    sum.compute_seconds += counts[i] * ratio(op.flops, peaks.flops_for(program(), op));
    sum.least_seconds += counts[i] * peaks.least_seconds(program(), op);
  }
  std::vector<KindTime> order;
  for (auto& [kind_and_queue, sum] : sums) {
    sum.kind = kind_and_queue.first;
    sum.queue = kind_and_queue.second;
    order.push_back(std::move(sum));
  }
  std::ranges::stable_sort(order, [](const KindTime& a, const KindTime& b) {
    return a.queue != b.queue ? a.queue < b.queue : a.seconds > b.seconds;
  });
  return order;
}

std::string Profile::chrome_trace() const {
  std::string text = "[";
  const auto add = [&text](const nlohmann::json& event) {
    if (text.size() > 1) text += ",\n";
    text += event.dump();
  };
  std::vector<bool> named(program().queues().size());
  for (const OpCall& call : calls()) {
    const Op& op = program().ops()[call.op];
    if (!named[call.queue]) {
      named[call.queue] = true;
      add({{"name", "thread_name"},
           {"ph", "M"},
           {"pid", 0},
           {"tid", call.queue},
           {"args", {{"name", program().queues()[call.queue].name}}}});
    }
    add({{"name", op.kind->name},
         {"cat", name_of(op.phase)},
         {"ph", "X"},
         {"ts", call.begin * 1e6},
         {"dur", call.seconds * 1e6},
         {"pid", 0},
         {"tid", call.queue},
         {"args",
          {{"op", describe(program(), op)},
           {"GFLOP/s", ratio(op.flops, call.seconds) / 1e9},
           {"GB/s", ratio(op.bytes, call.seconds) / 1e9}}}});
  }
  return text + "]\n";
}

std::string profile_table(const std::vector<KindTime>& kinds, const MachinePeaks& peaks) {
  KindTime all{.kind = "all"};
  for (const KindTime& time : kinds) {
    if (time.queue != kCompute) continue;
    all.calls += time.calls;
    all.seconds += time.seconds;
    all.flops += time.flops;
    all.bytes += time.bytes;
    all.compute_seconds += time.compute_seconds;
    all.least_seconds += time.least_seconds;
  }
  std::string text;
  text += fmt::format("{:<24} {:>7} {:>9} {:>6} {:>9} {:>6} {:>8} {:>6} {:>6}\n", "op", "calls",
                      "ms", "share", "GFLOP/s", "peak", "GB/s", "peak", "roof");
  const auto add_lines = [&](bool of_compute) {
    for (const KindTime& time : kinds) {
      if ((time.queue == kCompute) == of_compute) add_line(text, time, all.seconds, peaks);
    }
  };
  add_lines(true);
  add_line(text, all, all.seconds, peaks);
  add_lines(false);
  text +=
      fmt::format("peaks: fp32 {:.0f}, bf16 {:.0f}", peaks.f32_flops / 1e9, peaks.bf16_flops / 1e9);
  if (peaks.int8_flops > 0) text += fmt::format(", int8 {:.0f}", peaks.int8_flops / 1e9);
  text += fmt::format(" GFLOP/s; memory {:.1f} GB/s", peaks.bytes_per_second / 1e9);
  return text;
}

}  // namespace ingot

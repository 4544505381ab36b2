#include "engine/execution/profile.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "engine/base/append_format.h"

namespace ingot {
namespace {

// Calls are recorded into memory that is there already: a profile must not slow what it measures.
constexpr std::size_t kReserved = 1 << 16;

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

void add_line(std::string& text, const KindTime& time, double total, const MachinePeaks& peaks) {
  append_format(text, "%-24s %7.0f %9.2f %5.1f%% %9.1f %5.1f%% %8.1f %5.1f%% %5.1f%%\n",
                time.kind.c_str(), time.calls, time.seconds * 1e3, 100 * ratio(time.seconds, total),
                ratio(time.flops, time.seconds) / 1e9,
                100 * ratio(time.compute_seconds, time.seconds),
                ratio(time.bytes, time.seconds) / 1e9,
                100 * ratio(ratio(time.bytes, time.seconds), peaks.bytes_per_second),
                100 * ratio(time.least_seconds, time.seconds));
}

}  // namespace

double MachinePeaks::flops_for(const Program& program, const Op& op) const {
  if (op.attributes.flag("int8")) return int8_flops;
  const auto given = std::find_if(op.inputs.begin(), op.inputs.end(),
                                  [](Tensor t) { return static_cast<bool>(t); });
  const bool bf16 = given != op.inputs.end() && program.dtype(*given) == DType::bf16;
  return bf16 ? bf16_flops : f32_flops;
}

double MachinePeaks::least_seconds(const Program& program, const Op& op) const {
  return std::max(ratio(op.flops, flops_for(program, op)), ratio(op.bytes, bytes_per_second));
}

Profile::Profile(const Program& program) : program_(program), first_(Clock::now()) {
  calls_.reserve(kReserved);
}

void Profile::before(const Op& op) {
  const auto index = static_cast<std::uint32_t>(&op - program_.ops().data());
  calls_.push_back({.op = index, .start = Clock::now()});
}

void Profile::after(const Op&) { calls_.back().end = Clock::now(); }

std::vector<KindTime> Profile::by_kind(const MachinePeaks& peaks) const {
  std::vector<double> op_seconds(program_.ops().size());
  for (const Call& call : calls_) op_seconds[call.op] += seconds(call.end - call.start);
  return sum_by_kind(op_seconds, peaks);
}

std::vector<KindTime> Profile::fastest_by_kind(const MachinePeaks& peaks) const {
  constexpr double kNever = 1e300;
  std::vector<double> fastest(program_.ops().size(), kNever);
  for (const Call& call : calls_) {
    fastest[call.op] = std::min(fastest[call.op], seconds(call.end - call.start));
  }
  std::vector<double> op_seconds(program_.ops().size());
  for (const Call& call : calls_) op_seconds[call.op] += fastest[call.op];
  return sum_by_kind(op_seconds, peaks);
}

std::vector<KindTime> Profile::sum_by_kind(const std::vector<double>& op_seconds,
                                           const MachinePeaks& peaks) const {
  const double steps = static_cast<double>(std::max<std::int64_t>(1, steps_));
  std::vector<double> calls(op_seconds.size());
  for (const Call& call : calls_) calls[call.op] += 1 / steps;
  std::map<std::string_view, KindTime> sums;
  for (std::size_t i = 0; i < op_seconds.size(); ++i) {
    if (calls[i] == 0) continue;
    const Op& op = program_.ops()[i];
    KindTime& sum = sums[op.kind->name];
    sum.calls += calls[i];
    sum.seconds += op_seconds[i] / steps;
    sum.flops += calls[i] * op.flops;
    sum.bytes += calls[i] * op.bytes;
    sum.compute_seconds += calls[i] * ratio(op.flops, peaks.flops_for(program_, op));
    sum.least_seconds += calls[i] * peaks.least_seconds(program_, op);
  }
  std::vector<KindTime> order;
  for (auto& [kind, sum] : sums) {
    sum.kind = kind;
    order.push_back(std::move(sum));
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const KindTime& a, const KindTime& b) { return a.seconds > b.seconds; });
  return order;
}

std::string Profile::chrome_trace() const {
  nlohmann::json events = nlohmann::json::array();
  for (const Call& call : calls_) {
    const Op& op = program_.ops()[call.op];
    const double time = seconds(call.end - call.start);
    events.push_back({{"name", op.kind->name},
                      {"cat", name_of(op.phase)},
                      {"ph", "X"},
                      {"ts", seconds(call.start - first_) * 1e6},
                      {"dur", time * 1e6},
                      {"pid", 0},
                      {"tid", 0},
                      {"args",
                       {{"op", describe(program_, op)},
                        {"GFLOP/s", ratio(op.flops, time) / 1e9},
                        {"GB/s", ratio(op.bytes, time) / 1e9}}}});
  }
  return events.dump();
}

std::string profile_table(const std::vector<KindTime>& kinds, const MachinePeaks& peaks) {
  KindTime all{.kind = "all"};
  for (const KindTime& time : kinds) {
    all.calls += time.calls;
    all.seconds += time.seconds;
    all.flops += time.flops;
    all.bytes += time.bytes;
    all.compute_seconds += time.compute_seconds;
    all.least_seconds += time.least_seconds;
  }
  std::string text;
  append_format(text, "%-24s %7s %9s %6s %9s %6s %8s %6s %6s\n", "op", "calls", "ms", "share",
                "GFLOP/s", "peak", "GB/s", "peak", "roof");
  for (const KindTime& time : kinds) add_line(text, time, all.seconds, peaks);
  add_line(text, all, all.seconds, peaks);
  append_format(text, "peaks: fp32 %.0f, bf16 %.0f", peaks.f32_flops / 1e9, peaks.bf16_flops / 1e9);
  if (peaks.int8_flops > 0) append_format(text, ", int8 %.0f", peaks.int8_flops / 1e9);
  append_format(text, " GFLOP/s; memory %.1f GB/s", peaks.bytes_per_second / 1e9);
  return text;
}

}  // namespace ingot

#include "engine/profile.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

namespace ingot {
namespace {

// Calls are recorded into memory that is there already: a profile must not slow what it measures.
constexpr std::size_t kReserved = 1 << 16;

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

struct Sum {
  std::int64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
};

}  // namespace

Profile::Profile(const Program& program) : program_(program), first_(Clock::now()) {
  calls_.reserve(kReserved);
}

void Profile::before(const Op& op) {
  const auto index = static_cast<std::uint32_t>(&op - program_.ops().data());
  calls_.push_back({.op = index, .start = Clock::now()});
}

void Profile::after(const Op&) { calls_.back().end = Clock::now(); }

std::string Profile::table(double peak_flops) const {
  std::map<std::string, Sum> sums;
  double total = 0;
  for (const Call& call : calls_) {
    const Op& op = program_.ops()[call.op];
    Sum& sum = sums[std::string(op.kind->name)];
    const double time = seconds(call.end - call.start);
    ++sum.calls;
    sum.seconds += time;
    sum.flops += op.flops;
    sum.bytes += op.bytes;
    total += time;
  }
  std::vector<std::pair<std::string, Sum>> order(sums.begin(), sums.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return a.second.seconds > b.second.seconds;
  });
  std::string text;
  char line[160];
  std::snprintf(line, sizeof line, "%-24s %7s %10s %6s %9s %7s %7s\n", "op", "calls", "ms", "share",
                "GFLOP/s", "peak", "GB/s");
  text += line;
  for (const auto& [name, sum] : order) {
    const double rate = sum.flops / sum.seconds;
    std::snprintf(line, sizeof line, "%-24s %7lld %10.2f %5.1f%% %9.1f %6.1f%% %7.1f\n",
                  name.c_str(), static_cast<long long>(sum.calls), sum.seconds * 1e3,
                  100 * sum.seconds / total, rate / 1e9,
                  peak_flops > 0 ? 100 * rate / peak_flops : 0, sum.bytes / sum.seconds / 1e9);
    text += line;
  }
  std::snprintf(line, sizeof line, "%-24s %7zu %10.2f", "all", calls_.size(), total * 1e3);
  return text + line;
}

std::string Profile::chrome_trace() const {
  nlohmann::json events = nlohmann::json::array();
  for (const Call& call : calls_) {
    const Op& op = program_.ops()[call.op];
    events.push_back({{"name", op.name + " " + std::string(op.kind->name)},
                      {"cat", name_of(op.phase)},
                      {"ph", "X"},
                      {"ts", seconds(call.start - first_) * 1e6},
                      {"dur", seconds(call.end - call.start) * 1e6},
                      {"pid", 0},
                      {"tid", 0}});
  }
  return events.dump();
}

}  // namespace ingot

#include "memory/packing/overlap_check.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/error.h"

namespace ingot {
namespace {

struct Event {
  std::int64_t op;
  bool starts;
  std::size_t buffer;
};

// A buffer alive in its last op still shares it with what starts there: ends come after starts.
std::vector<Event> events_in_order(std::span<const Buffer> buffers) {
  std::vector<Event> events;
  events.reserve(2 * buffers.size());
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    events.push_back({buffers[i].first, true, i});
    events.push_back({buffers[i].last, false, i});
  }
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    if (a.op != b.op) return a.op < b.op;
    if (a.starts != b.starts) return a.starts;
    return a.buffer < b.buffer;
  });
  return events;
}

}  // namespace

std::optional<Misplacement> find_misplacement(std::span<const Buffer> buffers,
                                              std::span<const std::int64_t> offsets,
                                              std::int64_t arena_bytes) {
  if (buffers.size() != offsets.size()) {
    throw Error(ErrorCode::usage,
                std::to_string(offsets.size()) + " offsets for " + std::to_string(buffers.size()) +
                    " buffers",
                "overlap check");
  }
  const auto end_of = [&](std::size_t i) { return offsets[i] + buffers[i].bytes; };
  // Live buffers never share bytes (else we had returned), so only the neighbours in address order
  // can collide with a new one.
  std::set<std::pair<std::int64_t, std::size_t>> live;
  for (const Event& event : events_in_order(buffers)) {
    const std::size_t i = event.buffer;
    if (!event.starts) {
      live.erase({offsets[i], i});
      continue;
    }
    if (offsets[i] < 0 || buffers[i].bytes > arena_bytes ||
        offsets[i] > arena_bytes - buffers[i].bytes) {
      return Misplacement{Misplacement::Kind::outside, i, i, event.op};
    }
    const auto above = live.lower_bound({offsets[i], 0});
    if (above != live.end() && above->first < end_of(i)) {
      return Misplacement{Misplacement::Kind::overlap, above->second, i, event.op};
    }
    if (above != live.begin()) {
      const std::size_t below = std::prev(above)->second;
      if (end_of(below) > offsets[i]) {
        return Misplacement{Misplacement::Kind::overlap, below, i, event.op};
      }
    }
    live.emplace_hint(above, offsets[i], i);
  }
  return std::nullopt;
}

}  // namespace ingot

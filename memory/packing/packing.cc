#include "memory/packing/packing.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "engine/base/align.h"
#include "engine/base/error.h"
#include "memory/packing/hill_climb.h"
#include "memory/packing/overlap_check.h"
#include "memory/packing/time_index.h"

namespace ingot {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{1} << 62;

// The sizes rounded up to the alignment; their sum fits.
std::vector<std::int64_t> aligned_sizes(std::span<const Buffer> buffers, std::int64_t alignment) {
  if (alignment <= 0 || alignment > (std::int64_t{1} << 30)) {
    throw Error(ErrorCode::usage, "alignment of " + std::to_string(alignment) + " bytes",
                "memory packing", "use 1 byte to 1 GiB");
  }
  if (buffers.size() > std::numeric_limits<std::int32_t>::max()) {
    throw Error(ErrorCode::budget, "more than 2^31 buffers", "memory packing");
  }
  std::vector<std::int64_t> sizes;
  sizes.reserve(buffers.size());
  std::int64_t sum = 0;
  for (const Buffer& buffer : buffers) {
    if (buffer.bytes <= 0 || buffer.first > buffer.last) {
      throw Error(ErrorCode::usage,
                  "a buffer of " + std::to_string(buffer.bytes) + " bytes alive from op " +
                      std::to_string(buffer.first) + " to " + std::to_string(buffer.last),
                  "buffer " + std::to_string(sizes.size()));
    }
    if (buffer.bytes > kMostBytes - sum - alignment) {
      throw Error(ErrorCode::budget, "the buffers together pass 2^62 bytes",
                  "buffer " + std::to_string(sizes.size()), "make the model smaller");
    }
    sizes.push_back(align_up(buffer.bytes, alignment));
    sum += sizes.back();
  }
  return sizes;
}

// Two lives meet if and only if they meet at the start of one of them, so time is counted in
// distinct starts: fewer, dense, and a buffer alive at all of them is persistent.
std::vector<Item> compress_time(std::span<const Buffer> buffers,
                                std::span<const std::int64_t> sizes, std::int32_t& times) {
  std::vector<std::int64_t> starts;
  starts.reserve(buffers.size());
  for (const Buffer& buffer : buffers) starts.push_back(buffer.first);
  std::sort(starts.begin(), starts.end());
  starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
  times = static_cast<std::int32_t>(starts.size());
  std::vector<Item> items;
  items.reserve(buffers.size());
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const auto until = [&](std::int64_t op) {  // starts up to op, less one
      return static_cast<std::int32_t>(std::upper_bound(starts.begin(), starts.end(), op) -
                                       starts.begin()) -
             1;
    };
    items.push_back({sizes[i], until(buffers[i].first), until(buffers[i].last)});
  }
  return items;
}

// live[t]: the sum of the sizes alive at t.
std::vector<std::int64_t> live_sizes(std::span<const Item> items, std::int32_t times) {
  std::vector<std::int64_t> live(times + 1, 0);
  for (const Item& item : items) {
    live[item.first] += item.size;
    live[item.last + 1] -= item.size;
  }
  std::partial_sum(live.begin(), live.end(), live.begin());
  live.pop_back();
  return live;
}

std::int64_t largest(std::span<const std::int64_t> values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

enum class Fit { first, best };

// Where an item goes among those already placed: the lowest gap it fits in, or the tightest.
std::int64_t find_gap(std::span<const TimeIndex::Entry> placed, const Item& item, Fit fit) {
  constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
  std::int64_t top = 0, tightest = kNone, offset = 0;
  for (const auto& entry : placed) {
    if (!entry.meets(item)) continue;
    const std::int64_t gap = entry.offset - top;
    if (gap >= item.size && gap < tightest) {
      tightest = gap;
      offset = top;
      if (fit == Fit::first) return offset;
    }
    top = std::max(top, entry.end);
  }
  return tightest == kNone ? top : offset;
}

using Order = std::vector<std::int32_t>;

struct Placement {
  Order order;
  std::vector<std::int64_t> offsets;  // [items]
  std::int64_t total = std::numeric_limits<std::int64_t>::max();
};

// Places items whose lives hang together, one after the other, in several orders.
class GreedyPacker {
 public:
  GreedyPacker(std::span<const Item> items, std::int32_t times)
      : items_(items), index_(times), contention_(items.size()) {
    const auto live = live_sizes(items, times);
    for (std::size_t i = 0; i < items.size(); ++i) {
      contention_[i] = largest(std::span(live).subspan(items[i].first, life(i)));
    }
  }

  // Until one is at most the target. The best first-fit placement is in first_fit(), as the climb
  // needs it; best() may be another.
  void run(std::int64_t target);

  const Placement& first_fit() const { return first_fit_; }
  const Placement& best() const {
    return best_fit_.total < first_fit_.total ? best_fit_ : first_fit_;
  }

 private:
  std::int64_t life(std::size_t i) const {
    return std::int64_t{items_[i].last} - items_[i].first + 1;
  }
  template <class Key>
  Order sorted(Key key) const;
  void try_order(const Order& order, Fit fit, Placement& best);

  std::span<const Item> items_;
  TimeIndex index_;
  std::vector<std::int64_t> contention_;  // [items] most bytes alive at once during its life
  Placement first_fit_, best_fit_;
};

// Largest key first; ties by start, then index.
template <class Key>
Order GreedyPacker::sorted(Key key) const {
  Order order(items_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const auto key_a = key(a), key_b = key(b);
    if (key_a != key_b) return key_a > key_b;
    if (items_[a].first != items_[b].first) return items_[a].first < items_[b].first;
    return a < b;
  });
  return order;
}

void GreedyPacker::run(std::int64_t target) {
  const auto size = [&](std::int32_t i) { return items_[i].size; };
  const auto area = [&](std::int32_t i) {
    return static_cast<double>(items_[i].size) * static_cast<double>(life(i));
  };
  // The order of the trials is that of success on transformers' programs (packing_benchmark).
  const std::function<Order()> orders[] = {
      [&] { return sorted(size); },
      [&] { return sorted([&](std::int32_t i) { return std::pair(contention_[i], life(i)); }); },
      [&] { return sorted([&](std::int32_t i) { return std::pair(contention_[i], size(i)); }); },
      [&] { return sorted(area); },
      [&] { return sorted([&](std::int32_t i) { return life(i); }); },
      [&] { return sorted([&](std::int32_t i) { return -std::int64_t{items_[i].first}; }); },
  };
  for (const auto& order : orders) {
    if (first_fit_.total > target) try_order(order(), Fit::first, first_fit_);
  }
  for (const auto& order : orders) {
    if (best().total > target) try_order(order(), Fit::best, best_fit_);
  }
}

void GreedyPacker::try_order(const Order& order, Fit fit, Placement& best) {
  index_.clear();
  std::vector<std::int64_t> offsets(items_.size());
  std::int64_t total = 0;
  for (const std::int32_t i : order) {
    const Item& item = items_[i];
    const std::int64_t offset = find_gap(index_.around(item), item, fit);
    total = std::max(total, offset + item.size);
    if (total >= best.total) return;
    index_.insert({offset, offset + item.size, item.first, item.last, i});
    offsets[i] = offset;
  }
  best = {order, std::move(offsets), total};
}

// A maximal set of items whose lives hang together.
struct Component {
  std::vector<std::int32_t> indices;
  std::vector<Item> items;  // times counted from the component's first
  std::int32_t times;
  std::int64_t lower_bound;
};

std::vector<Component> components(std::span<const Item> items,
                                  std::span<const std::int32_t> members,
                                  std::span<const std::int64_t> live) {
  std::vector<std::int32_t> by_start(members.begin(), members.end());
  std::stable_sort(by_start.begin(), by_start.end(),
                   [&](std::int32_t a, std::int32_t b) { return items[a].first < items[b].first; });
  std::vector<Component> found;
  std::int32_t begin = 0, end = 0;  // of the component's time
  for (const std::int32_t i : by_start) {
    if (found.empty() || items[i].first >= end) {
      found.emplace_back();
      begin = end = items[i].first;
    }
    end = std::max(end, items[i].last + 1);
    Component& component = found.back();
    component.indices.push_back(i);
    component.items.push_back({items[i].size, items[i].first - begin, items[i].last - begin});
    component.times = end - begin;
    component.lower_bound = largest(live.subspan(begin, component.times));
  }
  return found;
}

// What the packing of one component may cost and must reach.
struct Goal {
  std::int64_t exact;        // no need to go below
  std::int64_t near;         // climbs end here
  std::int64_t good_enough;  // no second climb
  std::int64_t work;         // left for climbs
};

Placement place(const Component& part, const PackingOptions& options, Goal& goal) {
  GreedyPacker greedy(part.items, part.times);
  greedy.run(goal.exact);
  Placement best = greedy.best();
  const Placement& start = greedy.first_fit();
  const int climbs = options.climb_tries > 0 ? options.climbs : 0;
  for (int i = 0; i < climbs && goal.work > 0; ++i) {
    if (best.total <= (i == 0 ? goal.near : goal.good_enough)) break;
    HillClimb climb(part.items, part.times, start.order, start.offsets, goal.near);
    const std::int64_t before = climb.work();
    climb.run(options.climb_tries, std::min(goal.work, options.climb_work / 4), options.seed + i);
    goal.work -= climb.work() - before;
    if (climb.total() < best.total) best = {{}, climb.offsets(), climb.total()};
  }
  return best;
}

void check(std::span<const Buffer> buffers, const Packing& packing) {
  const auto fault = find_misplacement(buffers, packing.offsets, packing.total_bytes);
  if (!fault) return;
  throw Error(ErrorCode::diverged,
              "the memory plan is unsound: buffers " + std::to_string(fault->a) + " and " +
                  std::to_string(fault->b) + " collide at op " + std::to_string(fault->op),
              "memory packing", "report this as a defect of ingot");
}

}  // namespace

std::int64_t lower_bound(std::span<const Buffer> buffers, std::int64_t alignment) {
  const auto sizes = aligned_sizes(buffers, alignment);
  std::int32_t times = 0;
  const auto items = compress_time(buffers, sizes, times);
  return largest(live_sizes(items, times));
}

Packing pack(std::span<const Buffer> buffers, const PackingOptions& options) {
  if (!(options.tolerance >= 0 && options.tolerance <= 1)) {
    throw Error(ErrorCode::usage, "a packing tolerance that is not from 0 to 1", "memory packing");
  }
  const auto sizes = aligned_sizes(buffers, options.alignment);
  std::int32_t times = 0;
  const auto items = compress_time(buffers, sizes, times);
  auto live = live_sizes(items, times);

  Packing packing;
  packing.lower_bound_bytes = largest(live);
  packing.offsets.resize(buffers.size());

  // Persistent buffers lie at the bottom, where they can't be in anybody's way.
  std::int64_t base = 0;
  std::vector<std::int32_t> others;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].first == 0 && items[i].last == times - 1) {
      packing.offsets[i] = base;
      base += items[i].size;
    } else {
      others.push_back(static_cast<std::int32_t>(i));
    }
  }
  for (std::int64_t& bytes : live) bytes -= base;

  // The arena is as large as its largest component: the others need only fit in below.
  auto parts = components(items, others, live);
  std::stable_sort(parts.begin(), parts.end(), [](const Component& a, const Component& b) {
    return a.lower_bound > b.lower_bound;
  });
  const std::int64_t bound = packing.lower_bound_bytes - base;
  const auto above_bound = [&](double share) {
    return bound +
           static_cast<std::int64_t>(share * static_cast<double>(packing.lower_bound_bytes));
  };
  Goal goal{bound, above_bound(options.tolerance), above_bound(options.good_enough),
            options.climb_work};
  for (const Component& part : parts) {
    const Placement placement = place(part, options, goal);
    goal.exact = std::max(goal.exact, placement.total);
    goal.near = std::max(goal.near, placement.total);
    goal.good_enough = std::max(goal.good_enough, placement.total);
    for (std::size_t i = 0; i < part.items.size(); ++i) {
      packing.offsets[part.indices[i]] = base + placement.offsets[i];
    }
  }
  packing.total_bytes = base + goal.exact;
  check(buffers, packing);
  return packing;
}

}  // namespace ingot

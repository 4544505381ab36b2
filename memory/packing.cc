#include "memory/packing.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

#include "engine/error.h"
#include "memory/overlap_check.h"
#include "memory/placement.h"

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

// SplitMix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  // In [0, n), n > 0. The bias of the remainder does not matter here.
  std::size_t below(std::size_t n) {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
  }

 private:
  std::uint64_t state_;
};

// Packs items whose lives hang together. place_greedily() then climb() lower total() until it is
// at most the target.
class ComponentPacker {
 public:
  ComponentPacker(std::span<const Item> items, std::int32_t times)
      : items_(items), placement_(times), trial_offsets_(items.size()) {}

  void place_greedily(std::int64_t target);
  void climb(int tries, std::int64_t visits, std::uint64_t seed, std::int64_t target);

  std::int64_t total() const { return total_; }
  std::int64_t visits() const { return placement_.visits(); }
  std::span<const std::int64_t> offsets() const { return offsets_; }

 private:
  using Order = std::vector<std::int32_t>;

  template <class Key>
  Order sorted(Key key) const;
  bool try_order(const Order& order, Fit fit, bool accept_equal);
  std::vector<std::int32_t> above(std::int64_t target) const;

  std::span<const Item> items_;
  Placement placement_;
  Order order_;  // that gave offsets_
  Fit fit_ = Fit::first;
  std::int64_t total_ = std::numeric_limits<std::int64_t>::max();
  std::vector<std::int64_t> offsets_, trial_offsets_;
};

// Largest key first; ties by start, then index.
template <class Key>
ComponentPacker::Order ComponentPacker::sorted(Key key) const {
  Order order(items_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const auto key_a = key(items_[a]), key_b = key(items_[b]);
    if (key_a != key_b) return key_a > key_b;
    if (items_[a].first != items_[b].first) return items_[a].first < items_[b].first;
    return a < b;
  });
  return order;
}

bool ComponentPacker::try_order(const Order& order, Fit fit, bool accept_equal) {
  const auto total =
      placement_.place_all(items_, order, fit, total_ - (accept_equal ? 0 : 1), trial_offsets_);
  if (!total) return false;
  total_ = *total;
  offsets_ = trial_offsets_;
  fit_ = fit;
  return true;
}

void ComponentPacker::place_greedily(std::int64_t target) {
  const auto life = [](const Item& item) { return std::int64_t{item.last} - item.first + 1; };
  const Order orders[] = {
      sorted([](const Item& item) { return item.size; }),
      sorted(life),
      sorted([&](const Item& item) {
        return static_cast<double>(item.size) * static_cast<double>(life(item));
      }),
      sorted([](const Item& item) { return -std::int64_t{item.first}; }),
  };
  for (const Order& order : orders) {
    for (const Fit fit : {Fit::first, Fit::best}) {
      if (total_ <= target) return;
      if (try_order(order, fit, /*accept_equal=*/false)) order_ = order;
    }
  }
}

std::vector<std::int32_t> ComponentPacker::above(std::int64_t target) const {
  std::vector<std::int32_t> high;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (offsets_[i] + items_[i].size > target) high.push_back(static_cast<std::int32_t>(i));
  }
  return high;
}

void ComponentPacker::climb(int tries, std::int64_t visits, std::uint64_t seed,
                            std::int64_t target) {
  Random random(seed);
  const std::int64_t stop = placement_.visits() + visits;
  for (int t = 0; t < tries && total_ > target && placement_.visits() < stop; ++t) {
    // What ends above the target came too late: let one of those buffers choose earlier.
    const auto high = above(target);
    const std::int32_t chosen = high[random.below(high.size())];
    Order order = order_;
    const auto at = std::find(order.begin(), order.end(), chosen);
    const auto to =
        order.begin() +
        static_cast<std::ptrdiff_t>(random.below(static_cast<std::size_t>(at - order.begin()) + 1));
    std::rotate(to, at, at + 1);
    if (try_order(order, fit_, /*accept_equal=*/true)) order_ = std::move(order);
  }
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
  std::int64_t target = packing.lower_bound_bytes - base;
  std::int64_t visits = options.climb_visits;
  for (const Component& part : parts) {
    ComponentPacker packer(part.items, part.times);
    packer.place_greedily(target);
    const std::int64_t greedy_visits = packer.visits();
    packer.climb(options.climb_tries, visits, options.seed, target);
    visits -= packer.visits() - greedy_visits;
    target = std::max(target, packer.total());
    for (std::size_t i = 0; i < part.items.size(); ++i) {
      packing.offsets[part.indices[i]] = base + packer.offsets()[i];
    }
  }
  packing.total_bytes = base + target;
  check(buffers, packing);
  return packing;
}

}  // namespace ingot

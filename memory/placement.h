// Greedy placement: buffers come one after the other and take the lowest (first fit) or tightest
// (best fit) free range of addresses among the placed buffers alive at the same time. For
// packing.cc, which tries orders.
//
// A buffer looks only at placed buffers of its own stretch of time. Time is cut into blocks of
// several widths, each half overlapping the next, so that every life lies within one block of a
// width close to its own; each block lists what is alive in it, by offset.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace ingot {

enum class Fit { first, best };

// A life in compressed time: [first, last], 0 <= first <= last < times.
struct Item {
  std::int64_t size;
  std::int32_t first, last;
};

class Placement {
 public:
  explicit Placement(std::int32_t times);

  // Places all items in the given order. Stops early, with nothing, as soon as one would end beyond
  // limit. offsets [items] is then undefined. Returns the highest end.
  std::optional<std::int64_t> place_all(std::span<const Item> items,
                                        std::span<const std::int32_t> order, Fit fit,
                                        std::int64_t limit, std::span<std::int64_t> offsets);

  std::int64_t visits() const { return visits_; }  // placed neighbours looked at, since the start

 private:
  struct Placed {
    std::int64_t offset, end;
    std::int32_t first, last;
  };
  struct Level {
    std::int32_t stride;  // block b is alive in [b * stride, (b + 2) * stride)
    std::vector<std::vector<Placed>> blocks;
  };

  std::vector<Placed>& block_of(const Item& item);
  std::int64_t find_offset(const Item& item, Fit fit);
  void insert(const Placed& placed);

  std::vector<Level> levels_;  // finest first; the last has one block, of all times
  std::int64_t visits_ = 0;
};

}  // namespace ingot

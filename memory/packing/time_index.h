// Placed items by time, then by offset: what is in the way of an item is found without looking at
// what lives at other times. For packing.cc and hill_climb.cc.
//
// Time is cut into blocks of several widths, each block half overlapping the next, so that every
// life lies within one block of a width close to its own. A block lists all that is alive in it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ingot {

// A life in compressed time, [first, last], 0 <= first <= last < times, and its aligned size.
struct Item {
  std::int64_t size;
  std::int32_t first, last;
};

class TimeIndex {
 public:
  struct Entry {
    std::int64_t offset, end;  // bytes [offset, end)
    std::int32_t first, last;
    std::int32_t item;

    bool meets(const Item& other) const { return first <= other.last && other.first <= last; }
  };

  explicit TimeIndex(std::int32_t times);

  // By offset, everything that meets the item, and some of its temporal surroundings. Valid until
  // the next change.
  std::span<const Entry> around(const Item& item);

  void insert(const Entry& entry);
  void erase(const Entry& entry);  // which is there
  void clear();

  // Effort since the start, in entries read and moved; about 1 ns each.
  std::int64_t work() const { return work_; }

 private:
  struct Level {
    std::int32_t stride;  // block b covers [b * stride, (b + 2) * stride)
    std::vector<std::vector<Entry>> blocks;
  };

  template <class Action>
  void change_blocks_of(const Entry& entry, Action change);

  std::int64_t work_ = 0;
  std::vector<Level> levels_;  // finest first; the last has one block, of all times
};

}  // namespace ingot

// Improves a first-fit packing by changing the order in which the items choose their places.
// For packing.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "memory/packing/time_index.h"

namespace ingot {

// Reorders items and keeps their offsets what first fit in that order gives. A change is followed
// only as far as it reaches, which makes a try hundreds of times cheaper than packing anew.
class HillClimb {
 public:
  // order: a permutation of the items. offsets: what first fit in that order gives.
  // target: the size of arena to reach.
  HillClimb(std::span<const Item> items, std::int32_t times, std::span<const std::int32_t> order,
            std::span<const std::int64_t> offsets, std::int64_t target);

  // Tries until total() is at most the target, or the tries or the work (TimeIndex::work) is spent.
  void run(int tries, std::int64_t work, std::uint64_t seed);

  std::int64_t total() const { return total_; }  // bytes of the arena
  std::int64_t work() const { return index_.work(); }
  const std::vector<std::int64_t>& offsets() const { return offsets_; }
  const std::vector<std::int32_t>& order() const { return order_; }

 private:
  struct Move {
    std::int32_t item;
    std::int64_t old_offset;
  };

  bool reorder();
  void swap(std::int32_t a, std::int32_t b);
  void move_before(std::int32_t item, std::int32_t other);
  void save_order(std::int32_t begin, std::int32_t end);
  void number_order(std::int32_t begin, std::int32_t end);
  std::int32_t random_high_item();
  std::int32_t random_neighbour(std::int32_t item, std::int32_t below_rank);
  std::size_t random_below(std::size_t n);
  std::int32_t life(std::int32_t item) const { return items_[item].last - items_[item].first; }

  bool settle();
  std::int64_t first_fit(std::int32_t item);
  void place(std::int32_t item, std::int64_t offset);
  void disturb(std::int32_t item);
  void disturb_around(std::int32_t item, std::int64_t old_offset, std::int64_t new_offset);
  bool may_fit(std::int32_t item, std::int64_t begin, std::int64_t end,
               std::span<const TimeIndex::Entry> near) const;
  void undo();

  std::int64_t excess(std::int64_t end) const { return end > target_ ? end - target_ : 0; }

  std::span<const Item> items_;
  std::int64_t target_;
  std::vector<std::int32_t> order_, rank_;  // inverse of each other
  std::vector<std::int64_t> offsets_;
  TimeIndex index_;
  std::int64_t total_ = 0;
  std::int64_t excess_ = 0;  // sum of what the items reach above the target

  std::uint64_t random_state_ = 0;

  // Of the try under way.
  std::int32_t saved_begin_ = 0;
  std::vector<std::int32_t> saved_order_;  // of the ranks from saved_begin_ on
  std::vector<std::int32_t> disturbed_;    // heap of ranks, lowest first: to be placed again
  std::vector<bool> is_disturbed_;         // [items]
  std::vector<Move> moves_;
  std::vector<std::int32_t> candidates_;
};

}  // namespace ingot

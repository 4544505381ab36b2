#include "memory/packing/hill_climb.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace ingot {

HillClimb::HillClimb(std::span<const Item> items, std::int32_t times,
                     std::span<const std::int32_t> order, std::span<const std::int64_t> offsets,
                     std::int64_t target)
    : items_(items),
      target_(target),
      order_(order.begin(), order.end()),
      rank_(items.size()),
      offsets_(offsets.begin(), offsets.end()),
      index_(times),
      is_disturbed_(items.size(), false) {
  number_order(0, static_cast<std::int32_t>(items.size()));
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(items.size()); ++i) {
    const std::int64_t end = offsets_[i] + items_[i].size;
    index_.insert({offsets_[i], end, items_[i].first, items_[i].last, i});
    total_ = std::max(total_, end);
    excess_ += excess(end);
  }
}

void HillClimb::run(int tries, std::int64_t work, std::uint64_t seed) {
  random_state_ = seed;
  const std::int64_t stop = index_.work() + work;
  for (int t = 0; t < tries && total_ > target_ && index_.work() < stop; ++t) {
    const std::int64_t old_excess = excess_;
    moves_.clear();
    saved_order_.clear();
    if (!reorder()) continue;
    const bool fits = settle();
    std::int64_t total = 0;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      total = std::max(total, offsets_[i] + items_[i].size);
    }
    // Level ground is walked on: the way down often starts there.
    if (fits && (total < total_ || excess_ <= old_excess)) {
      total_ = total;
    } else {
      undo();
    }
  }
}

// What ends above the target chose too late, or its neighbours chose badly: either it or one of
// them goes before another neighbour, or two of them change places. False if nothing is to do.
bool HillClimb::reorder() {
  const auto everything = static_cast<std::int32_t>(items_.size());
  const std::int32_t high = random_high_item();
  const std::int32_t one = random_neighbour(high, everything);
  if (one < 0) return false;
  const auto kind = random_below(4);
  if (kind < 2) {
    const std::int32_t other = random_neighbour(high, everything);
    if (one == other) return false;
    swap(one, other);
    return true;
  }
  const std::int32_t item = kind == 2 ? high : one;
  const std::int32_t other = random_neighbour(item, rank_[item]);
  if (other < 0) return false;
  move_before(item, other);
  return true;
}

void HillClimb::swap(std::int32_t a, std::int32_t b) {
  if (rank_[a] > rank_[b]) std::swap(a, b);
  const std::int32_t from = rank_[a], to = rank_[b];
  save_order(from, to + 1);
  std::swap(order_[from], order_[to]);
  rank_[a] = to;
  rank_[b] = from;
  // Those between chose after a, and choose before it now: its place is free to them.
  const auto near = index_.around(items_[a]);
  for (const auto& entry : near) {
    const std::int32_t rank = rank_[entry.item];
    if (rank > from && rank < to && entry.meets(items_[a]) && entry.offset > offsets_[a] &&
        may_fit(entry.item, offsets_[a], offsets_[a] + items_[a].size, near)) {
      disturb(entry.item);
    }
  }
  disturb(a);
  disturb(b);
}

void HillClimb::move_before(std::int32_t item, std::int32_t other) {
  const std::int32_t from = rank_[item], to = rank_[other];
  save_order(to, from + 1);
  std::rotate(order_.begin() + to, order_.begin() + from, order_.begin() + from + 1);
  number_order(to, from + 1);
  disturb(item);
}

void HillClimb::save_order(std::int32_t begin, std::int32_t end) {
  saved_begin_ = begin;
  saved_order_.assign(order_.begin() + begin, order_.begin() + end);
}

void HillClimb::number_order(std::int32_t begin, std::int32_t end) {
  for (std::int32_t rank = begin; rank < end; ++rank) rank_[order_[rank]] = rank;
}

std::int32_t HillClimb::random_high_item() {
  candidates_.clear();
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(items_.size()); ++i) {
    if (offsets_[i] + items_[i].size > target_) candidates_.push_back(i);
  }
  return candidates_[random_below(candidates_.size())];
}

// One that meets the item and chooses before the rank, or -1.
std::int32_t HillClimb::random_neighbour(std::int32_t item, std::int32_t below_rank) {
  candidates_.clear();
  for (const auto& entry : index_.around(items_[item])) {
    if (entry.meets(items_[item]) && entry.item != item && rank_[entry.item] < below_rank) {
      candidates_.push_back(entry.item);
    }
  }
  if (candidates_.empty()) return -1;
  // The shortest-lived of a tenth: what lives long lies at the bottom of every good packing, and is
  // most of the neighbours near the peak.
  std::int32_t chosen = -1;
  for (std::size_t draw = 0; draw <= candidates_.size() / 10; ++draw) {
    const std::int32_t other = candidates_[random_below(candidates_.size())];
    if (chosen < 0 || life(other) < life(chosen)) chosen = other;
  }
  return chosen;
}

// SplitMix64: the same on every machine. The bias of the remainder does not matter here.
std::size_t HillClimb::random_below(std::size_t n) {
  std::uint64_t z = (random_state_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % n;
}

// Lets the disturbed choose again, in order, and whom they disturb in turn. False, with items still
// disturbed, as soon as one would end above the total so far.
bool HillClimb::settle() {
  while (!disturbed_.empty()) {
    std::pop_heap(disturbed_.begin(), disturbed_.end(), std::greater<>());
    const std::int32_t item = order_[disturbed_.back()];
    disturbed_.pop_back();
    is_disturbed_[item] = false;
    const std::int64_t old_offset = offsets_[item], offset = first_fit(item);
    if (offset + items_[item].size > total_) return false;
    if (offset == old_offset) continue;
    moves_.push_back({item, old_offset});
    place(item, offset);
    disturb_around(item, old_offset, offset);
  }
  return true;
}

// Among those that choose before the item; the others may lie anywhere meanwhile.
std::int64_t HillClimb::first_fit(std::int32_t item) {
  const Item& wanted = items_[item];
  const std::int32_t rank = rank_[item];
  std::int64_t top = 0;
  for (const auto& entry : index_.around(wanted)) {
    if (!entry.meets(wanted) || rank_[entry.item] >= rank) continue;
    if (entry.offset - top >= wanted.size) break;
    top = std::max(top, entry.end);
  }
  return top;
}

void HillClimb::place(std::int32_t item, std::int64_t offset) {
  const auto& [size, first, last] = items_[item];
  const std::int64_t old_offset = offsets_[item];
  index_.erase({old_offset, old_offset + size, first, last, item});
  index_.insert({offset, offset + size, first, last, item});
  excess_ += excess(offset + size) - excess(old_offset + size);
  offsets_[item] = offset;
}

void HillClimb::disturb(std::int32_t item) {
  if (is_disturbed_[item]) return;
  is_disturbed_[item] = true;
  disturbed_.push_back(rank_[item]);
  std::push_heap(disturbed_.begin(), disturbed_.end(), std::greater<>());
}

// Of those that choose later, first fit changes only for whom the item now lies on, and for who lay
// above its old place and fits in there.
void HillClimb::disturb_around(std::int32_t item, std::int64_t old_offset,
                               std::int64_t new_offset) {
  const Item& moved = items_[item];
  const auto near = index_.around(moved);
  for (const auto& entry : near) {
    if (!entry.meets(moved) || rank_[entry.item] <= rank_[item]) continue;
    const bool hit = entry.offset < new_offset + moved.size && new_offset < entry.end;
    if (hit || (entry.offset > old_offset &&
                may_fit(entry.item, old_offset, old_offset + moved.size, near))) {
      disturb(entry.item);
    }
  }
}

// Whether there may be room for the item in a gap that reaches into [begin, end), between those
// that choose before it. Starts from the nearest below among the given, so a yes may be wrong.
bool HillClimb::may_fit(std::int32_t item, std::int64_t begin, std::int64_t end,
                        std::span<const TimeIndex::Entry> near) const {
  const Item& wanted = items_[item];
  const auto in_the_way = [&](const TimeIndex::Entry& entry) {
    return entry.meets(wanted) && rank_[entry.item] < rank_[item];
  };
  const auto middle = std::partition_point(near.begin(), near.end(),
                                           [&](const auto& entry) { return entry.offset < begin; });
  const auto below = std::find_if(std::reverse_iterator(middle), near.rend(), in_the_way);
  std::int64_t top = below == near.rend() ? 0 : below->end;
  for (auto entry = middle; entry != near.end() && top < end; ++entry) {
    if (!in_the_way(*entry)) continue;
    if (entry->offset - top >= wanted.size) return true;
    top = std::max(top, entry->end);
  }
  return top < end;
}

void HillClimb::undo() {
  for (auto move = moves_.rbegin(); move != moves_.rend(); ++move) {
    place(move->item, move->old_offset);
  }
  for (const std::int32_t rank : disturbed_) is_disturbed_[order_[rank]] = false;
  disturbed_.clear();
  std::copy(saved_order_.begin(), saved_order_.end(), order_.begin() + saved_begin_);
  number_order(saved_begin_, saved_begin_ + static_cast<std::int32_t>(saved_order_.size()));
}

}  // namespace ingot

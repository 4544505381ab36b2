// Who else trains with this process, and what they must agree on. With nobody else every call gives
// back what it was given.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/execution/communicator.h"

namespace ingot {

class RunRanks {
 public:
  // ranks: null where this process trains alone; outlives this.
  explicit RunRanks(Communicators* ranks) : ranks_(ranks) {}

  int rank() const { return ranks_ == nullptr ? 0 : ranks_->rank(); }
  int size() const { return ranks_ == nullptr ? 1 : ranks_->size(); }
  int ranks_here() const { return ranks_ == nullptr ? 1 : ranks_->ranks_here(); }
  bool alone() const { return size() == 1; }
  // Rank 0: it speaks, plans and saves.
  bool leads() const { return rank() == 0; }

  // All ranks call these at the same place.
  std::int64_t most(std::int64_t value) const;
  std::int64_t least(std::int64_t value) const;
  // The text that rank 0 has.
  std::string from_leader(std::string text) const;
  // Throws Error(usage) on all ranks, naming the first that differs from rank 0, unless all have
  // the same text. what: "the config".
  void require_same(std::string_view what, std::string_view text) const;

 private:
  Communicators* ranks_;
};

}  // namespace ingot

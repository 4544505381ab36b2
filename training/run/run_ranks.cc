#include "training/run/run_ranks.h"

#include <limits>

#include "engine/base/error.h"
#include "io/hash.h"

namespace ingot {

std::int64_t RunRanks::most(std::int64_t value) const {
  if (ranks_ != nullptr) agree(*ranks_, std::span(&value, 1), Combine::most);
  return value;
}

std::int64_t RunRanks::least(std::int64_t value) const {
  if (ranks_ != nullptr) agree(*ranks_, std::span(&value, 1), Combine::least);
  return value;
}

std::string RunRanks::from_leader(std::string text) const {
  return ranks_ == nullptr ? text : broadcast(*ranks_, std::move(text));
}

void RunRanks::require_same(std::string_view what, std::string_view text) const {
  if (alone()) return;
  const std::string leaders = from_leader(to_hex(hash_of(text)));
  const bool differs = to_hex(hash_of(text)) != leaders;
  constexpr std::int64_t kNobody = std::numeric_limits<std::int64_t>::max();
  const std::int64_t first = least(differs ? rank() : kNobody);
  if (first == kNobody) return;
  throw Error(ErrorCode::usage,
              std::string(what) + " of rank " + std::to_string(first) + " is not that of rank 0",
              "rank " + std::to_string(first), "give all ranks the same files and flags");
}

}  // namespace ingot

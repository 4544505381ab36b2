#include "parallel/pipeline/schedules.h"

#include <algorithm>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

namespace ingot {
namespace {

// One rank's list: some forwards first, then a backward and a forward in turn, the last backwards.
// after_backward(done) appends what the rank does when so many backwards are done.
template <class AfterBackward>
Schedule one_rank(int rank, int ranks, int micro_batches, AfterBackward after_backward) {
  const Part forward{PartKind::forward, rank}, backward{PartKind::backward, rank};
  const int ahead = std::min(ranks - 1 - rank, micro_batches);
  Schedule schedule;
  for (int i = 0; i < ahead; ++i) schedule.push_back({forward, i});
  for (int i = 0; i < micro_batches; ++i) {
    if (ahead + i < micro_batches) schedule.push_back({forward, ahead + i});
    schedule.push_back({backward, i});
    after_backward(schedule, i + 1);
  }
  return schedule;
}

// What must be done before an action.
std::vector<Action> needs(const Action& action, int last_chunk) {
  const auto [kind, chunk] = action.part;
  const int i = action.micro_batch;
  switch (kind) {
    case PartKind::forward:
      if (chunk == 0) return {};
      return {{{PartKind::forward, chunk - 1}, i}};
    case PartKind::backward:
      if (chunk == last_chunk) return {{{PartKind::forward, chunk}, i}};
      return {{{PartKind::forward, chunk}, i}, {{PartKind::backward, chunk + 1}, i}};
    case PartKind::weight_gradients:
      return {{{PartKind::backward, chunk}, i}};
    default:
      throw std::logic_error(name_of(action.part) + " is no part of a pipeline");
  }
}

}  // namespace

std::vector<Schedule> one_forward_one_backward(int ranks, int micro_batches) {
  std::vector<Schedule> schedules;
  for (int rank = 0; rank < ranks; ++rank) {
    schedules.push_back(one_rank(rank, ranks, micro_batches, [](Schedule&, int) {}));
  }
  return schedules;
}

std::vector<Schedule> zero_bubble_h1(int ranks, int micro_batches) {
  std::vector<Schedule> schedules;
  for (int rank = 0; rank < ranks; ++rank) {
    const Part weight_gradients{PartKind::weight_gradients, rank};
    int done = 0;
    const auto keep_few_waiting = [&](Schedule& schedule, int backwards) {
      const int most = backwards < micro_batches ? rank : 0;
      while (backwards - done > most) schedule.push_back({weight_gradients, done++});
    };
    schedules.push_back(one_rank(rank, ranks, micro_batches, keep_few_waiting));
  }
  return schedules;
}

Schedule in_one_process(std::span<const Schedule> ranks) {
  int last_chunk = 0;
  std::size_t left = 0;
  for (const Schedule& rank : ranks) {
    left += rank.size();
    for (const Action& action : rank) last_chunk = std::max(last_chunk, action.part.chunk);
  }
  std::set<std::pair<Part, int>> done;
  std::vector<std::size_t> next(ranks.size(), 0);
  Schedule schedule;
  const auto is_ready = [&](const Action& action) {
    return std::ranges::all_of(needs(action, last_chunk), [&](const Action& need) {
      return done.contains({need.part, need.micro_batch});
    });
  };
  while (left > 0) {
    // What every rank does at the same time.
    std::vector<std::size_t> ready;
    for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
      if (next[rank] < ranks[rank].size() && is_ready(ranks[rank][next[rank]])) {
        ready.push_back(rank);
      }
    }
    if (ready.empty()) {
      const auto stuck =
          std::ranges::find_if(std::views::iota(0u, ranks.size()),
                               [&](std::size_t r) { return next[r] < ranks[r].size(); });
      const Action& action = ranks[*stuck][next[*stuck]];
      throw std::logic_error(name_of(action.part) + " of micro-batch " +
                             std::to_string(action.micro_batch) + " is never ready");
    }
    for (const std::size_t rank : ready) {
      const Action& action = ranks[rank][next[rank]++];
      schedule.push_back(action);
      done.insert({action.part, action.micro_batch});
      --left;
    }
  }
  schedule.push_back({Part::update});
  return schedule;
}

}  // namespace ingot

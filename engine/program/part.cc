#include "engine/program/part.h"

#include <algorithm>

namespace ingot {

std::string name_of(Part part) {
  constexpr std::string_view kNames[] = {"micro_step", "forward",    "backward", "weight_gradients",
                                         "update",     "evaluation", "prefill",  "decode"};
  std::string name(kNames[static_cast<int>(part.kind)]);
  const bool chunked = part.kind == PartKind::forward || part.kind == PartKind::backward ||
                       part.kind == PartKind::weight_gradients;
  if (chunked) name += " " + std::to_string(part.chunk);
  return name;
}

Schedule micro_step_schedule(int count) {
  Schedule schedule;
  for (int micro_batch = 0; micro_batch < count; ++micro_batch) {
    schedule.push_back({Part::micro_step, micro_batch});
  }
  schedule.push_back({Part::update});
  return schedule;
}

Turn turn_of(std::span<const Action> schedule, std::size_t action) {
  const auto same = [&](const Action& other) { return other.part == schedule[action].part; };
  return {.first = std::ranges::none_of(schedule.first(action), same),
          .last = std::ranges::none_of(schedule.subspan(action + 1), same)};
}

}  // namespace ingot

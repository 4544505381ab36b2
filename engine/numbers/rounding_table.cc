#include "engine/numbers/rounding_table.h"

#include <array>

namespace ingot {
namespace {

constexpr RoundingTable make_table() {
  std::array<bool, kRoundingPeriod> sequence{};
  std::uint32_t state = 1;
  for (bool& bit : sequence) {  // x^11 + x^2 + 1
    bit = (state & 1) != 0;
    state = state >> 1 | ((state ^ state >> 2) & 1) << 10;
  }
  constexpr std::int64_t kShift = 127;  // between the copies: more than a block
  RoundingTable table{};
  std::int64_t place = 0;
  for (std::uint16_t& number : table.numbers) {
    int bits = 0;
    for (int i = 0; i < 16; ++i)
      bits = bits << 1 | sequence[(place + i * kShift) % kRoundingPeriod];
    number = static_cast<std::uint16_t>(bits);
    ++place;
  }
  return table;
}

}  // namespace

constinit const RoundingTable kRoundingTable = make_table();

}  // namespace ingot

// state_forms_benchmark   Each form's coders, nanoseconds for a group of 128 elements on one core,
// states in cache. CPU time, fastest of many runs; INGOT_ISA chooses the level.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "backends/cpu/kernel_clock.h"
#include "engine/numbers/random.h"
#include "ops/state_forms/state_forms_cpu.h"

namespace ingot::cpu {
namespace {

constexpr StateLayout kLayout{.rows = 8, .columns = 512};

const KernelClock kClock;

// Of one group, when each(group) is called for all.
template <class Each>
double nanoseconds(const Each& each) {
  const auto draws = [](std::int64_t row) { return RowDraws{rounding_row_key(7, row), 0}; };
  constexpr int kRounds = 100;
  double best = 1e9;
  for (const double end = kClock.seconds() + 0.2; kClock.seconds() < end;) {
    const double start = kClock.seconds();
    for (int i = 0; i < kRounds; ++i) for_groups(kLayout, 0, kLayout.groups(), draws, each);
    best = std::min(best, kClock.seconds() - start);
  }
  return best / kRounds / static_cast<double>(kLayout.groups()) * 1e9;
}

void run() {
  std::printf("%-14s %8s %8s %10s\n", "", "decode", "encode", "stochastic");
  for (int index = 0; index < kStateFormCount; ++index) {
    const auto form = static_cast<StateForm>(index);
    std::vector<float> values(kLayout.rows * kLayout.columns);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double normal = random_normal_pair(1, 2, i)[0];
      values[i] = static_cast<float>(form == StateForm::log8 ? normal * normal * 1e-8 : normal);
    }
    std::vector<std::byte> codes(kLayout.rows * kLayout.value_bytes(form));
    std::vector<std::byte> extra(kLayout.rows * kLayout.extra_bytes(form));
    const StateCoder nearest = state_coder(form, DType::f32, Rounding::nearest, isa());
    const StateCoder stochastic = state_coder(form, DType::f32, Rounding::stochastic, isa());
    const auto time_of = [&](EncodeGroup encode) {
      return nanoseconds([&](const StateGroup& group) {
        encode(values.data() + group.element, group, codes.data(), extra.data());
      });
    };
    const double encoding = time_of(nearest.encode), random = time_of(stochastic.encode);
    const double decoding = nanoseconds([&](const StateGroup& group) {
      nearest.decode(codes.data(), extra.data(), group, values.data() + group.element);
    });
    std::printf("%-14s %8.1f %8.1f %10.1f\n", std::string(name_of(form)).c_str(), decoding,
                encoding, random);
  }
}

}  // namespace
}  // namespace ingot::cpu

int main() { ingot::cpu::run(); }

// packing_benchmark [TEXT]   Packs generated programs; prints, for each whose name contains TEXT,
// the arena's excess over the lower bound and the processor time (least of three).
//   bazel run //memory:packing_benchmark
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "memory/packing/packing.h"
#include "memory/packing/testing/generated_programs.h"

namespace ingot {
namespace {

struct Case {
  std::string name;
  std::vector<Buffer> buffers;
  std::int64_t alignment = 256;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const StepShape& shape : transformer_family()) {
    all.push_back({shape.name, transformer_step(shape)});
  }
  for (const int layers : {60, 140, 700}) {
    StepShape shape{.layers = layers, .saved = Saved::mixed};
    all.push_back({"scale, " + std::to_string(layers) + " layers", transformer_step(shape)});
  }
  StepShape per_expert{.layers = 20,
                       .hidden = 7168,
                       .experts = 256,
                       .experts_per_token = 8,
                       .expert_width = 2048,
                       .saved = Saved::mixed,
                       .weight_per_expert = true};
  all.push_back({"scale, weights per expert", transformer_step(per_expert)});
  for (const int pieces : {20, 200, 1000}) {
    all.push_back({"shattered rectangle, " + std::to_string(pieces),
                   shattered_rectangle(pieces, pieces, std::int64_t{1} << 20, 7), 1});
  }
  for (const int count : {100, 1000, 10000}) {
    all.push_back({"random lives, " + std::to_string(count),
                   random_buffers(count, count, std::int64_t{1} << 20, 7)});
  }
  return all;
}

void measure(const Case& one) {
  Packing packing;
  double fastest = 1e30;
  for (int run = 0; run < 3 && fastest * run < 5; ++run) {
    const std::clock_t start = std::clock();
    packing = pack(one.buffers, {.alignment = one.alignment});
    fastest = std::min(fastest, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  const double bound = static_cast<double>(packing.lower_bound_bytes);
  std::printf("%-52s %6zu buffers %10.1f MiB  + %6.3f %%  %8.1f ms\n", one.name.c_str(),
              one.buffers.size(), bound / (1 << 20),
              100 * (static_cast<double>(packing.total_bytes) - bound) / bound, fastest * 1e3);
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  for (const ingot::Case& one : ingot::cases()) {
    if (argc < 2 || one.name.find(argv[1]) != std::string::npos) ingot::measure(one);
  }
}

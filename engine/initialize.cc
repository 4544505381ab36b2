#include "engine/initialize.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/random.h"
#include "engine/weight_copy.h"

namespace ingot {
namespace {

// FNV-1a: the stream of random numbers that belongs to a name.
std::uint64_t stream_of(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::vector<float> fresh_values(const Weight& weight, const WeightPart& part, std::uint64_t seed) {
  std::vector<float> values(part.shape.elements(), static_cast<float>(weight.init_value));
  if (weight.init_std <= 0) return values;
  const std::uint64_t stream = stream_of(part.name);
  const auto deviation = static_cast<float>(weight.init_std);
  for (std::size_t i = 0; i < values.size(); i += 2) {
    const auto pair = random_normal_pair(seed, stream, i / 2);
    values[i] = pair[0] * deviation;
    if (i + 1 < values.size()) values[i + 1] = pair[1] * deviation;
  }
  return values;
}

}  // namespace

void initialize_weights(Executor& executor, std::uint64_t seed, int threads) {
  struct Task {
    const Weight* weight;
    const WeightPart* part;
  };
  std::vector<Task> tasks;
  for (const Weight& weight : executor.program().weights()) {
    for (const WeightPart& part : weight.parts) tasks.push_back({&weight, &part});
  }
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < tasks.size(); i = next++) {
      write_weight_part(executor, *tasks[i].weight, *tasks[i].part,
                        fresh_values(*tasks[i].weight, *tasks[i].part, seed));
    }
  };
  std::vector<std::jthread> helpers;
  for (int i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
}

}  // namespace ingot

#include "weights/initialize.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <span>
#include <vector>

#include "engine/base/thread.h"
#include "engine/numbers/random.h"
#include "weights/cut.h"
#include "weights/weight_copy.h"

namespace ingot {
namespace {

// Elements [first, first + values.size()) of a stream of normal numbers, which come in pairs.
void draw(std::uint64_t seed, std::uint64_t stream, std::int64_t first, float deviation,
          std::span<float> values) {
  std::size_t i = 0;
  const auto pair_at = [&] {
    return random_normal_pair(seed, stream, (first + static_cast<std::int64_t>(i)) / 2);
  };
  if (first % 2 != 0 && !values.empty()) {
    values[0] = pair_at()[1] * deviation;
    i = 1;
  }
  for (; i < values.size(); i += 2) {
    const auto pair = pair_at();
    values[i] = pair[0] * deviation;
    if (i + 1 < values.size()) values[i + 1] = pair[1] * deviation;
  }
}

void fill(const Weight& weight, const WeightPart& piece, std::uint64_t seed,
          std::span<float> values) {
  std::fill(values.begin(), values.end(), static_cast<float>(weight.init_value));
  if (weight.init_std <= 0) return;
  const std::uint64_t stream = random_stream(piece.name);
  const Box whole{.shape = piece.whole}, box = box_of(piece);
  for_lines(box, [&](const Point& point) {
    draw(seed, stream, element_at(whole, point), static_cast<float>(weight.init_std),
         values.subspan(element_at(box, point), box.shape.last()));
  });
}

}  // namespace

void initialize_weights(Executor& executor, std::uint64_t seed, int threads) {
  struct Piece {
    const Weight* weight;
    WeightPart part;
  };
  std::vector<Piece> pieces;
  for (const Weight& weight : executor.program().weights()) {
    for (const WeightPart& part : weight.parts) {
      for_rows(part, is_grouped(weight.value.form), [&](const WeightPart& piece) {
        pieces.push_back({&weight, piece});
      });
    }
  }
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;  // the first of any thread
  const auto work = [&] {
    try {
      std::vector<float> values;
      for (std::size_t i = next++; i < pieces.size(); i = next++) {
        values.resize(pieces[i].part.shape.elements());
        fill(*pieces[i].weight, pieces[i].part, seed, values);
        write_weight_part(executor, *pieces[i].weight, &Weight::value, pieces[i].part, values);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      next = pieces.size();
    }
  };
  {
    std::vector<Thread> helpers;
    for (int i = 1; i < threads; ++i) helpers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace ingot

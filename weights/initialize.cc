#include "weights/initialize.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "engine/numbers/random.h"
#include "weights/weight_copy.h"

namespace ingot {
namespace {

// Values made at a time: small, so that a large matrix needs no fp32 copy of itself on the way in.
constexpr std::int64_t kPiece = 1 << 18;  // elements, but two rows at least

// Elements [first, first + count) of a part.
struct Piece {
  const Weight* weight;
  const WeightPart* part;
  std::int64_t first, count;
};

void fill(const Piece& piece, std::uint64_t seed, std::vector<float>& values) {
  values.assign(piece.count, static_cast<float>(piece.weight->init_value));
  if (piece.weight->init_std <= 0) return;
  const std::uint64_t stream = random_stream(piece.part->name);
  const auto deviation = static_cast<float>(piece.weight->init_std);
  for (std::int64_t i = 0; i < piece.count; i += 2) {
    const auto pair = random_normal_pair(seed, stream, (piece.first + i) / 2);
    values[i] = pair[0] * deviation;
    if (i + 1 < piece.count) values[i + 1] = pair[1] * deviation;
  }
}

}  // namespace

void initialize_weights(Executor& executor, std::uint64_t seed, int threads) {
  std::vector<Piece> pieces;
  for (const Weight& weight : executor.program().weights()) {
    for (const WeightPart& part : weight.parts) {
      const std::int64_t elements = part.shape.elements();
      // Whole rows, and an even number of them, because random numbers come in pairs.
      const std::int64_t pair = 2 * (part.shape.rank() < 2 ? 1 : part.shape.last());
      const std::int64_t step = std::max<std::int64_t>(1, kPiece / pair) * pair;
      for (std::int64_t first = 0; first < elements; first += step) {
        pieces.push_back({&weight, &part, first, std::min(step, elements - first)});
      }
    }
  }
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    std::vector<float> values;
    for (std::size_t i = next++; i < pieces.size(); i = next++) {
      const Piece& piece = pieces[i];
      fill(piece, seed, values);
      const WeightPart place{piece.part->name, piece.part->offset + piece.first, {piece.count}};
      write_weight_part(executor, *piece.weight, &Weight::value, place, values);
    }
  };
  std::vector<std::jthread> helpers;
  for (int i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
}

}  // namespace ingot

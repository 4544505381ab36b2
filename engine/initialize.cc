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

// Values made at a time: small, so that a large matrix needs no fp32 copy of itself on the way in.
// Even, because random numbers come in pairs.
constexpr std::int64_t kPiece = 1 << 18;

// Elements [first, first + count) of a part.
struct Piece {
  const Weight* weight;
  const WeightPart* part;
  std::int64_t first, count;
};

void fill(const Piece& piece, std::uint64_t seed, std::vector<float>& values) {
  values.assign(piece.count, static_cast<float>(piece.weight->init_value));
  if (piece.weight->init_std <= 0) return;
  const std::uint64_t stream = stream_of(piece.part->name);
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
      for (std::int64_t first = 0; first < elements; first += kPiece) {
        pieces.push_back({&weight, &part, first, std::min(kPiece, elements - first)});
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
      write_weight_part(executor, *piece.weight, place, values);
    }
  };
  std::vector<std::jthread> helpers;
  for (int i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
}

}  // namespace ingot
